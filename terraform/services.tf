# The services: one image, started as different things. Nothing runs, and nothing is billed, between requests.

locals {
  has_people = length(var.people) > 0

  # A service cannot be told its own address once it has it, but the address follows from name, project and region:
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  urls = {
    for key in local.runtimes :
    key => "https://${var.name}-${key}-${data.google_project.this.number}.${var.region}.run.app"
  }

  # `seconds` is how long one request may take. Whoever calls waits exactly as long: see wakeups.tf and scheduler.tf.
  service_names = { for key in local.runtimes : key => "${var.name}-${key}" }

  services = {
    worker = {
      entry         = var.worker.service
      slots         = var.worker.slots
      seconds       = var.worker.request_seconds
      min_instances = var.worker.min_instances
      max_instances = var.worker.max_instances
      cpu           = var.worker.cpu
      memory        = var.worker.memory
      is_internal   = true
      callers = {
        (google_service_account.account["push"].email)      = ["/pubsub/push"]
        (google_service_account.account["tasks"].email)     = ["/tasks/wake"]
        (google_service_account.account["scheduler"].email) = ["/tasks/drain"]
      }
    }
    watchdog = {
      entry         = "watchdog_worker"
      slots         = 4
      seconds       = 120
      min_instances = 0
      max_instances = 1
      cpu           = "1"
      memory        = "512Mi"
      is_internal   = true
      callers = {
        (google_service_account.account["scheduler"].email) = ["/tasks/tick", "/tasks/watchdog"]
      }
    }
    web = {
      entry         = "web"
      slots         = var.web.slots
      seconds       = 360 # streams end by themselves after five minutes
      min_instances = var.web.min_instances
      max_instances = var.web.max_instances
      cpu           = var.web.cpu
      memory        = var.web.memory
      is_internal   = false
      callers       = {}
    }
  }

  environments = {
    for key, service in local.services : key => merge(
      var.environment,
      var.firestore_prefix != "" ? { TORPOR_PREFIX = var.firestore_prefix } : {},
      length(var.task_packages) > 0 ? { TORPOR_TASK_PACKAGES = join(",", var.task_packages) } : {},
      key == "web" ? { TORPOR_STREAMS = tostring(var.web.streams) } : {},
      key == "web" && local.has_people ? {
        TORPOR_IAP_AUDIENCE = "/projects/${data.google_project.this.number}/locations/${var.region}/services/${var.name}-web"
        TORPOR_PEOPLE       = jsonencode(var.people_scopes)
      } : {},
      {
        TORPOR_SERVICE         = service.entry
        TORPOR_STORE_URL       = "firestore://${var.project}/${google_firestore_database.torpor.name}"
        TORPOR_WAKE_TOPIC      = google_pubsub_topic.wake.id
        TORPOR_WAKE_QUEUE      = google_cloud_tasks_queue.wake.id
        TORPOR_WAKE_URL        = local.urls.worker
        TORPOR_WAKE_ACCOUNT    = google_service_account.account["tasks"].email
        TORPOR_CONCURRENCY     = tostring(service.slots)
        TORPOR_REQUEST_SECONDS = tostring(service.seconds)
        TORPOR_OIDC_AUDIENCE   = local.urls[key]
        TORPOR_OIDC_CALLERS    = jsonencode(service.callers)
        TORPOR_PROXIES         = "1" # Cloud Run's own front end says for whom it calls
      },
    )
  }

  # What services are given from Secret Manager. An instance reads the newest version when it starts.
  secrets = {
    web = { TORPOR_API_TOKENS = google_secret_manager_secret.api_tokens.secret_id }
  }

  # Which share goes to which revision. Before there is a stable revision, all of it goes to the newest.
  traffic = {
    for key in local.runtimes : key => [
      for each in [
        { type = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", revision = null, percent = contains(keys(var.stable_revisions), key) ? var.canary_percent : 100 },
        { type = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", revision = lookup(var.stable_revisions, key, null), percent = contains(keys(var.stable_revisions), key) ? 100 - var.canary_percent : 0 },
      ] : each if each.percent > 0
    ]
  }
}

resource "google_cloud_run_v2_service" "service" {
  for_each = local.services

  project             = var.project
  name                = "${var.name}-${each.key}"
  location            = var.region
  ingress             = each.value.is_internal ? "INGRESS_TRAFFIC_INTERNAL_ONLY" : "INGRESS_TRAFFIC_ALL"
  iap_enabled         = each.key == "web" ? local.has_people : false
  deletion_protection = false # services hold nothing; the database does, and is protected

  template {
    service_account                  = google_service_account.account[each.key].email
    timeout                          = "${each.value.seconds}s"
    max_instance_request_concurrency = each.value.slots

    scaling {
      min_instance_count = each.value.min_instances
      max_instance_count = each.value.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = each.value.cpu, memory = each.value.memory }
        cpu_idle          = true # the processor is ours, and billed, during requests only
        startup_cpu_boost = true
      }

      # Probes reach the container directly. From outside /healthz is one of the paths that Cloud Run keeps to itself.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30
        http_get {
          path = "/healthz"
          port = 8080
        }
      }
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/healthz"
          port = 8080
        }
      }

      dynamic "env" {
        for_each = local.environments[each.key]
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = lookup(local.secrets, each.key, {})
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }
    }
  }

  dynamic "traffic" {
    for_each = local.traffic[each.key]
    content {
      type     = traffic.value.type
      revision = traffic.value.revision
      percent  = traffic.value.percent
    }
  }

  lifecycle {
    postcondition {
      condition     = contains(self.urls, local.urls[each.key])
      error_message = "Cloud Run gave the service another address than ${local.urls[each.key]}, so its callers' tokens would be refused."
    }
  }

  depends_on = [
    google_project_service.used,
    google_project_iam_member.database,
    google_secret_manager_secret_version.no_tokens,
    google_secret_manager_secret_iam_member.api_tokens,
  ]
}
