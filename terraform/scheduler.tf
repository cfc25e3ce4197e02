# What is called each minute. Cloud Scheduler calls at least once, and may call twice; the routes bear both.

locals {
  # Three jobs are free in each billing account.
  schedules = {
    drain    = { service = "worker", does = "Wakes workers for what is due, and works itself for a while" }
    tick     = { service = "watchdog", does = "Creates the jobs of schedules" }
    watchdog = { service = "watchdog", does = "Takes back what crashed, and cleans up" }
  }
}

resource "google_cloud_scheduler_job" "each_minute" {
  for_each = local.schedules

  project     = var.project
  region      = var.region
  name        = "${var.name}-${each.key}"
  description = each.value.does
  schedule    = "* * * * *"
  time_zone   = "Etc/UTC"

  # As long as the service's own limit: giving up before it would call again while the first call works.
  attempt_deadline = "${local.services[each.value.service].seconds}s"

  # The next minute is a retry too, so these only bridge an instance that is just going.
  retry_config {
    retry_count          = 2
    min_backoff_duration = "5s"
    max_backoff_duration = "20s"
    max_doublings        = 2
  }

  http_target {
    http_method = "POST"
    uri         = "${local.urls[each.value.service]}/tasks/${each.key}"
    oidc_token {
      service_account_email = google_service_account.account["scheduler"].email
      audience              = local.urls[each.value.service]
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.caller]
}
