# Exact wake-ups for what is delayed for a short while. One that is lost costs a minute at most, because the sweep finds
# the job; so a task that meets an ending instance is tried again for some seconds and then dropped.

resource "google_cloud_tasks_queue" "wake" {
  project  = var.project
  location = var.region
  name     = "${var.name}-wake"

  # No more calls at a time than the workers have slots: further ones would only be told that all are taken. A queue has
  # limits of its own, too: https://cloud.google.com/tasks/docs/quotas
  rate_limits {
    max_concurrent_dispatches = min(5000, var.worker.slots * var.worker.max_instances)
    max_dispatches_per_second = min(500, 10 * var.worker.slots * var.worker.max_instances)
  }

  # 1, 2, 4 and 8 seconds after the first call, so well before the sweep.
  retry_config {
    max_attempts  = 5
    min_backoff   = "1s"
    max_backoff   = "10s"
    max_doublings = 3
  }

  depends_on = [google_project_service.used]
}

# Whoever delays a job makes a task.
resource "google_cloud_tasks_queue_iam_member" "delays" {
  for_each = local.runtimes

  project  = var.project
  location = google_cloud_tasks_queue.wake.location
  name     = google_cloud_tasks_queue.wake.name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.account[each.key].member
}

# A task names the account that it calls as, and only who may act as that account may make such a task. The account may
# call one route of the worker, so acting as it gains a service nothing that it could not do by waking over the topic.
# Cloud Tasks itself signs in its name by the right that its own account got when the API was switched on.
resource "google_service_account_iam_member" "delays" {
  for_each = local.runtimes

  service_account_id = google_service_account.account["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.account[each.key].member
}
