# One service account for each thing that acts, with what it needs and no more: three that the services run as, three
# that call them. None has a key, and none may act as another but for making tasks that call the worker (delays.tf).

locals {
  accounts = {
    worker    = "Runs jobs"
    watchdog  = "Heals, and starts what is scheduled"
    web       = "Serves the API"
    push      = "Pub/Sub calls the worker as this"
    tasks     = "Cloud Tasks calls the worker as this"
    scheduler = "Cloud Scheduler calls the worker and the watchdog as this"
  }
  runtimes = toset(["worker", "watchdog", "web"])

  # Google's own accounts in this project.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  iap_agent    = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_service_account" "account" {
  for_each = local.accounts

  project      = var.project
  account_id   = "${var.name}-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.used]
}

# Documents of this database only: https://cloud.google.com/firestore/native/docs/security/iam#iam_conditions
resource "google_project_iam_member" "database" {
  for_each = local.runtimes

  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.account[each.key].member

  condition {
    title      = "${var.name}-database"
    expression = "resource.name == \"${google_firestore_database.torpor.id}\""
  }
}

resource "google_project_iam_member" "telemetry" {
  for_each = {
    for pair in setproduct(local.runtimes, ["logging.logWriter", "telemetry.metricsWriter", "telemetry.tracesWriter"]) :
    "${pair[0]} ${pair[1]}" => { account = pair[0], role = "roles/${pair[1]}" }
  }

  project = var.project
  role    = each.value.role
  member  = google_service_account.account[each.value.account].member
}

# Whoever creates jobs, or leaves some over, wakes workers.
resource "google_pubsub_topic_iam_member" "wakes" {
  for_each = local.runtimes

  project = var.project
  topic   = google_pubsub_topic.wake.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.account[each.key].member
}

# Who may call what. Each service checks the same again, by route.
resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = merge(
    {
      "worker push"        = { service = "worker", member = google_service_account.account["push"].member }
      "worker tasks"       = { service = "worker", member = google_service_account.account["tasks"].member }
      "worker scheduler"   = { service = "worker", member = google_service_account.account["scheduler"].member }
      "watchdog scheduler" = { service = "watchdog", member = google_service_account.account["scheduler"].member }
    },
    local.has_people ? { "web people" = { service = "web", member = local.iap_agent } } : {},
    { for each in var.programs : "web ${each}" => { service = "web", member = each } },
  )

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.service[each.value.service].name
  role     = "roles/run.invoker"
  member   = each.value.member
}

# Identity-Aware Proxy asks for this in turn before it calls the service as its own account. It holds for everything
# behind the proxy in this project.
resource "google_iap_web_iam_member" "people" {
  for_each = toset(var.people)

  project = var.project
  role    = "roles/iap.httpsResourceAccessor"
  member  = each.value
}

# Pub/Sub signs its calls in the name of the account that it pushes as, and of no other.
resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.account["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
