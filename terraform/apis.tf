# Google's services that this needs. Others in the project may need them too, so none is switched off again.

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "used" {
  for_each = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "telemetry.googleapis.com",
    ],
    local.has_people ? ["iap.googleapis.com"] : [],
  ))

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}
