# The entries of the API's tokens: names, hashes and scopes, as `torpor tokens create` prints them. The tokens themselves
# are kept nowhere. In the beginning there is none, so that the service starts and lets no program in; entries are added
# as further versions by hand (docs/deploy.md), and terraform does not look at those.

resource "google_secret_manager_secret" "api_tokens" {
  project   = var.project
  secret_id = "${var.name}-api-tokens"

  replication {
    auto {}
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "no_tokens" {
  secret      = google_secret_manager_secret.api_tokens.id
  secret_data = "[]"
}

resource "google_secret_manager_secret_iam_member" "api_tokens" {
  project   = var.project
  secret_id = google_secret_manager_secret.api_tokens.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.account["web"].member
}
