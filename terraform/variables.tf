variable "project" {
  type        = string
  description = "The Google Cloud project's id."
}

variable "firestore_database" {
  type        = string
  description = "The database's id. Only (default) has a free quota."
  default     = "(default)"
}

variable "firestore_location" {
  type        = string
  description = "Where the database is, for good: a region, or the dearer multi-regions nam5 and eur3."
  default     = "us-central1"
}

variable "firestore_prefix" {
  type        = string
  description = "Put before each collection's name, as in the store's own setting, to part environments in one database."
  default     = ""
}

variable "firestore_is_protected" {
  type        = bool
  description = "Whether the database refuses to be deleted."
  default     = true
}

variable "region" {
  type        = string
  description = "Where the services run. Best the database's own, or one in it."
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]$", var.region))
    error_message = "region must be a region such as us-central1, not a zone and not a multi-region."
  }
}

variable "name" {
  type        = string
  description = "What every resource's name begins with, to part environments in one project."
  default     = "torpor"

  # Service accounts have 30 characters at most, and `-scheduler` is the longest thing that is put behind.
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 20 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "image" {
  type        = string
  description = "The image of every service, best by its digest: REGION-docker.pkg.dev/PROJECT/NAME/torpor@sha256:..."

  validation {
    condition     = can(regex("^[^ ]+/[^ ]+(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must name a digest or a tag other than `latest`: which revision runs would depend on when it started."
  }
}

variable "registry_exists" {
  type        = bool
  description = "Whether the build made the registry, as cloudbuild.yaml does; it is then taken over instead of made."
  default     = true
}

variable "worker" {
  type = object({
    service         = optional(string, "job_worker")
    slots           = optional(number, 10)
    request_seconds = optional(number, 600)
    min_instances   = optional(number, 0)
    max_instances   = optional(number, 10)
    cpu             = optional(string, "1")
    memory          = optional(string, "512Mi")
  })
  description = <<-END
    The service that runs jobs. `service` is what the image is started as: job_worker or catalog_worker. `slots` jobs
    run at once in an instance. A job that needs longer than `request_seconds` goes on in slices.
  END
  default     = {}

  validation {
    condition     = contains(["job_worker", "catalog_worker"], var.worker.service)
    error_message = "worker.service must be job_worker or catalog_worker."
  }
  validation {
    condition     = var.worker.slots >= 1 && var.worker.slots <= 250 && floor(var.worker.slots) == var.worker.slots
    error_message = "worker.slots must be a whole number from 1 to 250."
  }
  # A sweep works for 45 s, and ending it takes 15 s at most; Pub/Sub waits for an answer for 600 s at most.
  validation {
    condition     = var.worker.request_seconds >= 60 && var.worker.request_seconds <= 600
    error_message = "worker.request_seconds must be from 60 to 600: a sweep takes 45 s and 15 s to end, and Pub/Sub waits for 600 s at most."
  }
  validation {
    condition     = var.worker.min_instances >= 0 && var.worker.max_instances >= max(1, var.worker.min_instances)
    error_message = "worker.max_instances must be at least 1 and at least worker.min_instances."
  }
}

variable "web" {
  type = object({
    slots         = optional(number, 80)
    streams       = optional(number, 60)
    min_instances = optional(number, 0)
    max_instances = optional(number, 3)
    cpu           = optional(string, "1")
    memory        = optional(string, "512Mi")
  })
  description = <<-END
    The service of the API and its streams. `slots` requests, streams included, are served at once by an instance, and
    at most `streams` of them may be streams.
  END
  default     = {}

  validation {
    condition     = var.web.slots >= 1 && var.web.slots <= 1000
    error_message = "web.slots must be from 1 to 1000, Cloud Run's highest concurrency."
  }
  validation {
    condition     = var.web.streams >= 1 && var.web.streams < var.web.slots && floor(var.web.streams) == var.web.streams
    error_message = "web.streams must be a whole number from 1 to less than web.slots: who asks must find a place beside those who follow."
  }
  validation {
    condition     = var.web.min_instances >= 0 && var.web.max_instances >= max(1, var.web.min_instances)
    error_message = "web.max_instances must be at least 1 and at least web.min_instances."
  }
}

variable "people" {
  type        = list(string)
  description = "Who may open the web service in a browser, through Identity-Aware Proxy: user:..., group:... or domain:..."
  default     = []

  validation {
    condition     = alltrue([for each in var.people : can(regex("^(user|group|domain):[^ ]+$", each))])
    error_message = "people must be user:..., group:... or domain:...; nobody is let in without an identity."
  }
}

variable "people_scopes" {
  type        = map(list(string))
  description = "What people may do in the API once the proxy has let them in: read, enqueue and admin by e-mail address."
  default     = {}

  validation {
    condition = alltrue([
      for email, scopes in var.people_scopes :
      can(regex("^[^@ ]+@[^@ ]+$", email)) && length(scopes) > 0 && length(setsubtract(scopes, ["read", "enqueue", "admin"])) == 0
    ])
    error_message = "people_scopes takes one or more of read, enqueue and admin by e-mail address."
  }
  validation {
    condition     = (length(var.people) > 0) == (length(var.people_scopes) > 0)
    error_message = "people and people_scopes go together: the first are let in by the proxy, and the second says what they may do."
  }
}

variable "programs" {
  type        = list(string)
  description = "Which service accounts may call the API of the web service: serviceAccount:..."
  default     = []

  validation {
    condition     = alltrue([for each in var.programs : can(regex("^serviceAccount:[^ ]+$", each))])
    error_message = "programs must be serviceAccount:...; people are let in by `people`."
  }
}

variable "task_packages" {
  type        = list(string)
  description = "Import names of the packages with your own job types; empty leaves it to the image."
  default     = []
}

variable "environment" {
  type        = map(string)
  description = "More settings for every service, such as TORPOR_LEASE_SECONDS."
  default     = {}

  validation {
    condition = length(setintersection(keys(var.environment), [
      "PORT", "TORPOR_API_TOKENS", "TORPOR_CONCURRENCY", "TORPOR_HOST", "TORPOR_IAP_AUDIENCE", "TORPOR_OIDC_AUDIENCE",
      "TORPOR_OIDC_CALLERS", "TORPOR_PEOPLE", "TORPOR_PREFIX", "TORPOR_PROXIES", "TORPOR_REQUEST_SECONDS",
      "TORPOR_SERVICE", "TORPOR_STORE_URL", "TORPOR_STREAMS", "TORPOR_TASK_PACKAGES", "TORPOR_WAKE_ACCOUNT",
      "TORPOR_WAKE_QUEUE", "TORPOR_WAKE_TOPIC", "TORPOR_WAKE_URL",
    ])) == 0
    error_message = "environment must not set what follows from the other variables (the store, the slots, the callers, ...)."
  }
}

variable "canary_percent" {
  type        = number
  description = "How much of the traffic the newest revision takes; the rest stays with `stable_revisions`. 0 takes it back."
  default     = 100

  validation {
    condition     = var.canary_percent >= 0 && var.canary_percent <= 100 && floor(var.canary_percent) == var.canary_percent
    error_message = "canary_percent must be a whole number from 0 to 100."
  }
}

variable "stable_revisions" {
  type        = map(string)
  description = "The revision of each service (worker, watchdog, web) that keeps the traffic which the canary does not take."
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.stable_revisions), ["worker", "watchdog", "web"])) == 0
    error_message = "stable_revisions takes revisions of worker, watchdog and web."
  }
}

variable "alert_emails" {
  type        = list(string)
  description = "Who is told when something is wrong. Without any, alerts only show in the console."
  default     = []

  validation {
    condition     = alltrue([for each in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", each))])
    error_message = "alert_emails must be e-mail addresses."
  }
}

variable "alerts_are_on" {
  type        = bool
  description = "Whether there are alerts. They are the one thing that costs something while nothing happens."
  default     = true
}

variable "alert_limits" {
  type = object({
    oldest_due_seconds = optional(number, 300)
    failed_percent     = optional(number, 10)
    failed_at_least    = optional(number, 20)
    silent_minutes     = optional(number, 10)
  })
  description = <<-END
    When to alert: a due job waits for so long; so many percent of the attempts of a quarter of an hour failed, if there
    were at least `failed_at_least`; no round of the watchdog, or no sweep, came through for so long.
  END
  default     = {}

  validation {
    condition     = var.alert_limits.oldest_due_seconds > 0 && var.alert_limits.failed_percent > 0 && var.alert_limits.failed_percent < 100
    error_message = "alert_limits: oldest_due_seconds must be above 0, failed_percent between 0 and 100."
  }
  validation {
    condition     = var.alert_limits.silent_minutes >= 5 && floor(var.alert_limits.silent_minutes) == var.alert_limits.silent_minutes
    error_message = "alert_limits.silent_minutes must be a whole number, 5 or more: the watchdog and the sweep are called each minute."
  }
}
