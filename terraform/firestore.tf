# The Firestore database, the indexes that the store's queries need and no others, and time to live.
#
# The tests run every query that the store can ask and hold this file to it: an index that a query needs and that is
# not here fails them, and so does one here that no query needs.

locals {
  # Composite indexes. A field is ascending unless it says "desc" or "contains". The filters of one listing may be
  # combined as one likes: Firestore merges indexes that end in the same order.
  firestore_indexes = [
    # jobs.ready
    { collection = "jobs", fields = ["status", "queue", "route", "shard", "priority desc", "ready_at"] },
    # jobs.ready_by_age
    { collection = "jobs", fields = ["queue", "ready_at"] },
    # jobs.due
    { collection = "jobs", fields = ["queue", "wake_at"] },
    # jobs.expiring
    { collection = "jobs", fields = ["status", "start_before"] },
    # jobs.list
    { collection = "jobs", fields = ["status", "created_at"] },
    { collection = "jobs", fields = ["type", "created_at"] },
    { collection = "jobs", fields = ["queue", "created_at"] },
    { collection = "jobs", fields = ["batch_id", "created_at"] },
    { collection = "jobs", fields = ["parent_id", "created_at"] },
    { collection = "jobs", fields = ["tags contains", "created_at"] },
    { collection = "jobs", fields = ["status", "created_at desc"] },
    { collection = "jobs", fields = ["type", "created_at desc"] },
    { collection = "jobs", fields = ["queue", "created_at desc"] },
    { collection = "jobs", fields = ["batch_id", "created_at desc"] },
    { collection = "jobs", fields = ["parent_id", "created_at desc"] },
    { collection = "jobs", fields = ["tags contains", "created_at desc"] },
    # jobs.by_priority
    { collection = "jobs", fields = ["priority", "created_at"] },
    { collection = "jobs", fields = ["status", "priority", "created_at"] },
    { collection = "jobs", fields = ["type", "priority", "created_at"] },
    { collection = "jobs", fields = ["queue", "priority", "created_at"] },
    { collection = "jobs", fields = ["batch_id", "priority", "created_at"] },
    { collection = "jobs", fields = ["parent_id", "priority", "created_at"] },
    { collection = "jobs", fields = ["tags contains", "priority", "created_at"] },
    { collection = "jobs", fields = ["priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["status", "priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["type", "priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["queue", "priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["batch_id", "priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["parent_id", "priority desc", "created_at desc"] },
    { collection = "jobs", fields = ["tags contains", "priority desc", "created_at desc"] },
    # jobs.finished
    { collection = "jobs", fields = ["status", "finished_at"] },
    { collection = "jobs", fields = ["type", "finished_at"] },
    { collection = "jobs", fields = ["queue", "finished_at"] },
    { collection = "jobs", fields = ["batch_id", "finished_at"] },
    { collection = "jobs", fields = ["parent_id", "finished_at"] },
    { collection = "jobs", fields = ["tags contains", "finished_at"] },
    { collection = "jobs", fields = ["status", "finished_at desc"] },
    { collection = "jobs", fields = ["type", "finished_at desc"] },
    { collection = "jobs", fields = ["queue", "finished_at desc"] },
    { collection = "jobs", fields = ["batch_id", "finished_at desc"] },
    { collection = "jobs", fields = ["parent_id", "finished_at desc"] },
    { collection = "jobs", fields = ["tags contains", "finished_at desc"] },
    # jobs.awaiting
    { collection = "jobs", fields = ["waiting_for", "created_at"] },
    # jobs.releasing
    { collection = "jobs", fields = ["release", "finished_at"] },
    # jobs.waiting
    { collection = "jobs", fields = ["unmet contains", "waiting_since"] },
    # gates.waiting
    { collection = "gates", fields = ["unmet contains", "waiting_since"] },
    # jobs.dependents
    { collection = "jobs", fields = ["depends_on contains", "created_at"] },
    # jobs.parked
    { collection = "jobs", fields = ["parked_on", "priority desc", "created_at"] },
    # jobs.parked_by_age
    { collection = "jobs", fields = ["parked_on", "created_at"] },
    # batches.list
    { collection = "batches", fields = ["status", "created_at"] },
    { collection = "batches", fields = ["status", "created_at desc"] },
    # runs.list
    { collection = "runs", fields = ["job_id", "ended_at"] },
    { collection = "runs", fields = ["type", "ended_at"] },
    { collection = "runs", fields = ["queue", "ended_at"] },
    { collection = "runs", fields = ["outcome", "ended_at"] },
    { collection = "runs", fields = ["job_id", "ended_at desc"] },
    { collection = "runs", fields = ["type", "ended_at desc"] },
    { collection = "runs", fields = ["queue", "ended_at desc"] },
    { collection = "runs", fields = ["outcome", "ended_at desc"] },
    # logs.of_job
    { collection = "logs", fields = ["job_id", "first"] },
    { collection = "logs", fields = ["job_id", "first desc"] },
    # results.of_job
    { collection = "results", fields = ["job_id", "seq"] },
    # steps.of_job
    { collection = "steps", fields = ["job_id", "call"] },
    # events.sent
    { collection = "events", fields = ["name", "target", "sent_at"] },
    # events.list
    { collection = "events", fields = ["name", "sent_at"] },
    { collection = "events", fields = ["name", "sent_at desc"] },
    # chunks.of_job
    { collection = "chunks", fields = ["job_id", "seq"] },
    # exercises.list
    { collection = "exercises", fields = ["status", "created_at"] },
    { collection = "exercises", fields = ["family", "created_at"] },
    # exercises.by_slug
    { collection = "exercises", fields = ["slug", "created_at"] },
    # aliases.list
    { collection = "exercise_aliases", fields = ["target", "created_at"] },
    # catalog_lines.of_change
    { collection = "catalog_lines", fields = ["change_id", "number"] },
  ]

  # Fields that are sorted by or bounded alone, and in which directions.
  firestore_sorted_fields = [
    { collection = "jobs", field = "wake_at", orders = ["ASCENDING"] },
    { collection = "jobs", field = "lease_expires_at", orders = ["ASCENDING"] },
    { collection = "jobs", field = "created_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "jobs", field = "finished_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "jobs", field = "waiting_since", orders = ["ASCENDING"] },
    { collection = "gates", field = "waiting_since", orders = ["ASCENDING"] },
    { collection = "limits", field = "expires_at", orders = ["ASCENDING"] },
    { collection = "manifests", field = "delete_at", orders = ["ASCENDING"] },
    { collection = "batches", field = "created_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "runs", field = "ended_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "events", field = "sent_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "events", field = "untold_since", orders = ["ASCENDING"] },
    { collection = "once", field = "touched_at", orders = ["ASCENDING"] },
    { collection = "rollups", field = "hour", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "schedules", field = "next_at", orders = ["ASCENDING"] },
    { collection = "schedules", field = "created_at", orders = ["ASCENDING"] },
    { collection = "uniques", field = "look_at", orders = ["ASCENDING"] },
    { collection = "exercises", field = "created_at", orders = ["ASCENDING"] },
    { collection = "exercise_aliases", field = "created_at", orders = ["ASCENDING"] },
    { collection = "exercise_families", field = "created_at", orders = ["ASCENDING"] },
    { collection = "catalog_changes", field = "made_at", orders = ["ASCENDING", "DESCENDING"] },
    { collection = "jobs", field = "ready_at", orders = ["ASCENDING", "DESCENDING"] },
  ]

  # Collections whose documents Firestore deletes when `expire_at` has passed, within about a day. A time that only
  # grows would be a hot index, so the field is not indexed.
  firestore_expiring = ["jobs", "runs", "logs", "results", "chunks"]

  # Every other field is exempt from the indexes that Firestore makes by itself: they would cost storage and write
  # time for nothing. A wildcard would do for a whole collection, but the provider can't set one
  # (github.com/hashicorp/terraform-provider-google/issues/19598). A database takes 200 such settings.
  firestore_unindexed_fields = {
    jobs = [
      "schema_version", "type", "name", "description", "queue", "priority", "route", "shard", "tags", "batch_id",
      "parent_id", "depth", "mode", "payload", "settings", "metadata", "status", "revision", "updated_at",
      "started_at", "queued_at", "parked_on", "waiting_for", "turn", "holds_turn", "allowed_at", "start_before",
      "attempt", "retries_used", "lease_losses", "slices", "idle_slices", "run_seconds", "max_retries",
      "retry_delay_seconds", "retry_backoff", "timeout_seconds", "max_duration_seconds", "max_lease_losses",
      "idempotent", "idempotency_key", "worker_id", "lease_token", "lease_started_at", "write_id", "progress",
      "checkpoint", "result", "error", "outcome", "log_length", "results_saved", "steps", "review", "control_id",
      "control_action", "control_reason", "control_at", "watched_until", "depends_on", "unmet", "auto_start",
      "start_at", "on_dependency_failure", "on_failure", "has_dependents", "deleting", "release", "stamp",
    ]
    runs = [
      "schema_version", "job_id", "type", "queue", "priority", "batch_id", "parent_id", "attempt", "outcome",
      "counted", "status", "worker_id", "started_at", "duration_seconds", "waited_seconds", "retries_used",
      "lease_losses", "message", "error", "details", "stamp",
    ]
    logs = [
      "schema_version", "job_id", "first", "count", "entries", "stamp",
    ]
    results = [
      "schema_version", "job_id", "seq", "attempt", "saved_at", "data", "stamp",
    ]
    steps = [
      "schema_version", "job_id", "call", "about", "result", "stamp",
    ]
    events = [
      "schema_version", "name", "target", "sent_by", "data", "stamp",
    ]
    once = [
      "schema_version", "about", "result", "stamp",
    ]
    chunks = [
      "schema_version", "job_id", "seq", "text", "stamp",
    ]
    gates = [
      "schema_version", "job_id", "unmet", "stamp",
    ]
    limits = [
      "schema_version", "holder", "job_id", "epoch", "queues", "types", "stamp",
    ]
    batches = [
      "schema_version", "status", "name", "total", "digest", "on_complete", "pages", "updated_at", "stamp",
    ]
    manifests = [
      "schema_version", "text", "stamp",
    ]
    rollups = [
      "schema_version", "made_at", "counts", "stamp",
    ]
    schedules = [
      "schema_version", "definition", "state", "stamp",
    ]
    uniques = [
      "schema_version", "job_id", "until", "stamp",
    ]
    exercises = [
      "schema_version", "slug", "family", "status", "name", "equipment", "document", "updated_at", "stamp",
    ]
    # Written seldom, so that the indexes of their small fields cost next to nothing, and the settings are few.
    exercise_aliases = [
      "document",
    ]
    exercise_families = [
      "document",
    ]
    catalog_changes = [
      "document",
    ]
    catalog_lines = [
      "document",
    ]
  }
}

resource "google_firestore_database" "torpor" {
  project                 = var.project
  name                    = var.firestore_database
  location_id             = var.firestore_location
  type                    = "FIRESTORE_NATIVE"
  database_edition        = "STANDARD"
  delete_protection_state = var.firestore_is_protected ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"

  depends_on = [google_project_service.used]
}

resource "google_firestore_index" "composite" {
  for_each = {
    for index in local.firestore_indexes : "${index.collection}: ${join(", ", index.fields)}" => index
  }

  project     = var.project
  database    = google_firestore_database.torpor.name
  collection  = "${var.firestore_prefix}${each.value.collection}"
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = split(" ", fields.value)[0]
      order        = endswith(fields.value, " contains") ? null : endswith(fields.value, " desc") ? "DESCENDING" : "ASCENDING"
      array_config = endswith(fields.value, " contains") ? "CONTAINS" : null
    }
  }
}

resource "google_firestore_field" "sorted" {
  for_each = { for each in local.firestore_sorted_fields : "${each.collection}.${each.field}" => each }

  project    = var.project
  database   = google_firestore_database.torpor.name
  collection = "${var.firestore_prefix}${each.value.collection}"
  field      = each.value.field

  index_config {
    dynamic "indexes" {
      for_each = each.value.orders
      content {
        order       = indexes.value
        query_scope = "COLLECTION"
      }
    }
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = merge([
    for collection, fields in local.firestore_unindexed_fields : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)

  project    = var.project
  database   = google_firestore_database.torpor.name
  collection = "${var.firestore_prefix}${each.value.collection}"
  field      = each.value.field

  # An empty block, unlike none, takes the field out of every index.
  index_config {}
}

resource "google_firestore_field" "expiring" {
  for_each = toset(local.firestore_expiring)

  project    = var.project
  database   = google_firestore_database.torpor.name
  collection = "${var.firestore_prefix}${each.value}"
  field      = "expire_at"

  index_config {}
  ttl_config {}
}
