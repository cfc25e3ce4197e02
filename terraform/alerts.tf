# What is measured and when somebody is told.
#
# The conditions are PromQL because that, unlike a threshold condition, may name a metric that has no data yet: in an
# empty project a log-based metric is known to Cloud Monitoring only minutes after it was made.

locals {
  # PromQL spells a metric's name with a colon after the domain and an underscore for all else:
  # https://cloud.google.com/monitoring/promql/promql-mapping
  metric_names = {
    for key, metric in {
      oldest_due      = google_logging_metric.oldest_due
      attempts        = google_logging_metric.attempts
      watchdog_rounds = google_logging_metric.watchdog_rounds
    } : key => "logging_googleapis_com:user_${replace(metric.name, "/[^A-Za-z0-9]/", "_")}"
  }
  of_services = "monitored_resource=\"cloud_run_revision\""
  # Attempts end in the service and in pools of workers that stay. PromQL takes one kind of resource at a time.
  attempts_ended = { for which in ["", ",outcome=\"failed\""] : which => join(" + ", [
    for kind in ["cloud_run_revision", "cloud_run_worker_pool"] :
    "(sum(increase(${local.metric_names.attempts}{monitored_resource=\"${kind}\"${which}}[15m])) or vector(0))"
  ]) }

  alerts = {
    oldest_due = {
      title  = "a due job waits for too long"
      query  = "sum(increase(${local.metric_names.oldest_due}_sum{${local.of_services}}[5m])) / sum(increase(${local.metric_names.oldest_due}_count{${local.of_services}}[5m])) > ${var.alert_limits.oldest_due_seconds}"
      advice = <<-END
        Workers do not keep up, or do not run. Look at the worker's instances and errors; is worker.max_instances
        reached? Does every queued type have a worker that knows it (`torpor doctor`)?
      END
    }
    failed_rate = {
      title = "too many attempts fail"
      # Above the threshold, and with enough attempts to speak of a rate.
      query  = "100 * (${local.attempts_ended[",outcome=\"failed\""]}) / (${local.attempts_ended[""]}) > ${var.alert_limits.failed_percent} and (${local.attempts_ended[""]}) >= ${var.alert_limits.failed_at_least}"
      advice = "Which types, and with which error: `torpor runs list --outcome failed`."
    }
    dead_letters = {
      title  = "wake-ups are not taken"
      query  = "sum(increase(pubsub_googleapis_com:subscription_dead_letter_message_count{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.wake.name}\"}[10m])) > 0"
      advice = <<-END
        The worker refused the same wake-up ten times. No job is lost: the sweep finds it. Look for 401, 403 and 5xx in the
        worker's request log; the wake-ups are in the subscription ${google_pubsub_subscription.dead.name}.
      END
    }
    sweep_silence = {
      title  = "the sweep is silent"
      query  = "(sum(increase(${local.metric_names.oldest_due}_count{${local.of_services}}[${var.alert_limits.silent_minutes}m])) or vector(0)) < 1"
      advice = <<-END
        No sweep came through, so nobody says how long due jobs wait, and jobs whose wake-up was lost do not begin. Is the
        Cloud Scheduler job ${google_cloud_scheduler_job.each_minute["drain"].name} enabled, and what does the service
        ${google_cloud_run_v2_service.service["worker"].name} answer it?
      END
    }
    watchdog_silence = {
      title  = "the watchdog is silent"
      query  = "(sum(increase(${local.metric_names.watchdog_rounds}{${local.of_services}}[${var.alert_limits.silent_minutes}m])) or vector(0)) < 1"
      advice = <<-END
        No round came through, so crashed jobs are not taken back. Is the Cloud Scheduler job ${google_cloud_scheduler_job.each_minute["watchdog"].name}
        enabled, and what does the service ${google_cloud_run_v2_service.service["watchdog"].name} answer it?
      END
    }
  }
}

# The sweep writes this once a minute.
resource "google_logging_metric" "oldest_due" {
  project         = var.project
  name            = "${var.name}/oldest_due_seconds"
  description     = "How long the oldest due job has waited, each minute"
  filter          = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${local.service_names.worker}\" jsonPayload.event=\"sweep\" jsonPayload.oldest_due_seconds:*"
  value_extractor = "EXTRACT(jsonPayload.oldest_due_seconds)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }
  bucket_options {
    exponential_buckets {
      num_finite_buckets = 24
      growth_factor      = 2
      scale              = 0.1
    }
  }

  depends_on = [google_project_service.used]
}

# Every attempt that ended writes one of these.
resource "google_logging_metric" "attempts" {
  project          = var.project
  name             = "${var.name}/attempts"
  description      = "Ended attempts by outcome"
  filter           = "((resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${local.service_names.worker}\") OR (resource.type=\"cloud_run_worker_pool\" resource.labels.worker_pool_name=~\"^${var.name}-\")) jsonPayload.event=\"attempt\" jsonPayload.outcome:*"
  label_extractors = { outcome = "EXTRACT(jsonPayload.outcome)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    labels {
      key         = "outcome"
      value_type  = "STRING"
      description = "completed, failed, retried, ..."
    }
  }

  depends_on = [google_project_service.used]
}

# Cloud Run's own request log, so that silence is noticed whatever the service would have said.
resource "google_logging_metric" "watchdog_rounds" {
  project     = var.project
  name        = "${var.name}/watchdog_rounds"
  description = "Rounds of the watchdog that came through"
  filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${local.service_names.watchdog}\" log_id(\"run.googleapis.com/requests\") httpRequest.requestUrl=~\"/tasks/watchdog$\" httpRequest.status<300"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.used]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alerts_are_on ? toset(var.alert_emails) : []

  project      = var.project
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.used]
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = var.alerts_are_on ? local.alerts : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = "120s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    content   = each.value.advice
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
