mock_provider "google" {}

variables {
  project          = "example"
  image            = "us-central1-docker.pkg.dev/example/torpor/torpor:test"
  registry_exists  = false
  firestore_prefix = "test_"
}

run "fields_are_read_from_their_short_form" {
  command = plan

  assert {
    condition = [
      for field in google_firestore_index.composite["jobs: status, queue, route, shard, priority desc, ready_at"].fields :
      "${field.field_path} ${field.order}"
      ] == [
      "status ASCENDING", "queue ASCENDING", "route ASCENDING", "shard ASCENDING", "priority DESCENDING", "ready_at ASCENDING"
    ]
    error_message = "The index of the claim must be ascending but for its priority."
  }

  assert {
    condition     = google_firestore_index.composite["jobs: tags contains, created_at desc"].fields[0].array_config == "CONTAINS"
    error_message = "Tags must be searched as an array."
  }

  assert {
    condition     = google_firestore_index.composite["jobs: tags contains, created_at desc"].fields[0].order == null
    error_message = "A field that is searched as an array has no order."
  }
}

run "every_name_takes_the_prefix" {
  command = plan

  assert {
    condition = alltrue([
      for each in concat(
        values(google_firestore_index.composite),
        values(google_firestore_field.sorted),
        values(google_firestore_field.unindexed),
        values(google_firestore_field.expiring),
      ) : startswith(each.collection, "test_")
    ])
    error_message = "A collection lacks the prefix."
  }
}

run "no_field_is_set_twice" {
  command = plan

  assert {
    condition = length(setintersection(
      keys(google_firestore_field.sorted), keys(google_firestore_field.unindexed)
    )) == 0
    error_message = "A field is both indexed and exempt."
  }

  assert {
    condition     = !contains(flatten(values(local.firestore_unindexed_fields)), "expire_at")
    error_message = "expire_at is set where its time to live is."
  }

  assert {
    condition = length(google_firestore_field.sorted) + length(google_firestore_field.unindexed) + length(
      google_firestore_field.expiring
    ) <= 200
    error_message = "A database takes 200 single-field settings: https://cloud.google.com/firestore/quotas"
  }
}
