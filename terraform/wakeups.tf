# Wake-ups. One that is lost costs a minute at most, because the sweep finds the job; so they are kept for a day only.

resource "google_pubsub_topic" "wake" {
  project = var.project
  name    = "${var.name}-wake"

  depends_on = [google_project_service.used]
}

resource "google_pubsub_subscription" "wake" {
  project                    = var.project
  name                       = "${var.name}-wake"
  topic                      = google_pubsub_topic.wake.id
  ack_deadline_seconds       = local.services.worker.seconds
  message_retention_duration = "86400s"

  push_config {
    push_endpoint = "${local.urls.worker}/pubsub/push"
    oidc_token {
      service_account_email = google_service_account.account["push"].email
      audience              = local.urls.worker
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 10
  }

  # Unlike a subscription that nobody misses, this one is needed after a month without jobs too.
  expiration_policy {
    ttl = ""
  }

  # Pushes that come before the right to call would be refused, and slow down those that follow.
  depends_on = [google_cloud_run_v2_service_iam_member.caller, google_service_account_iam_member.push_tokens]
}

# Wake-ups that no worker took. Each is a sign of a fault, not a lost job.
resource "google_pubsub_topic" "dead" {
  project = var.project
  name    = "${var.name}-wake-dead"

  depends_on = [google_project_service.used]
}

# Without a subscription they would be gone at once, and nobody could look at them.
resource "google_pubsub_subscription" "dead" {
  project                    = var.project
  name                       = "${var.name}-wake-dead"
  topic                      = google_pubsub_topic.dead.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# Dead letters are moved by Pub/Sub itself: it publishes to the one and acknowledges in the other.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  project      = var.project
  subscription = google_pubsub_subscription.wake.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
