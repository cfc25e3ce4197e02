# That what cannot work is refused before anything is planned.

mock_provider "google" {}

variables {
  project         = "example"
  image           = "us-central1-docker.pkg.dev/example/torpor/torpor:test"
  registry_exists = false
}

run "an_image_without_a_version" {
  command = plan
  variables {
    image = "us-central1-docker.pkg.dev/example/torpor/torpor:latest"
  }
  expect_failures = [var.image]
}

run "a_multi_region_for_services" {
  command = plan
  variables {
    region = "nam5"
  }
  expect_failures = [var.region]
}

run "a_name_too_long_for_service_accounts" {
  command = plan
  variables {
    name = "the-jobs-of-our-whole-company"
  }
  expect_failures = [var.name]
}

run "requests_longer_than_pubsub_waits" {
  command = plan
  variables {
    worker = { request_seconds = 3600 }
  }
  expect_failures = [var.worker]
}

run "a_service_that_the_image_does_not_have" {
  command = plan
  variables {
    worker = { service = "jobs" }
  }
  expect_failures = [var.worker]
}

run "fewer_instances_at_most_than_at_least" {
  command = plan
  variables {
    web = { min_instances = 5 }
  }
  expect_failures = [var.web]
}

run "everybody_as_people" {
  command = plan
  variables {
    people = ["allUsers"]
  }
  expect_failures = [var.people]
}

run "people_who_may_do_nothing" {
  command = plan
  variables {
    people = ["user:ann@example.com"]
  }
  expect_failures = [var.people_scopes]
}

run "people_who_may_do_something_unheard_of" {
  command = plan
  variables {
    people        = ["user:ann@example.com"]
    people_scopes = { "ann@example.com" = ["write"] }
  }
  expect_failures = [var.people_scopes]
}

run "streams_that_leave_no_place" {
  command = plan
  variables {
    web = { slots = 60, streams = 60 }
  }
  expect_failures = [var.web]
}

run "everybody_as_programs" {
  command = plan
  variables {
    programs = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.programs]
}

run "a_setting_that_follows_from_others" {
  command = plan
  variables {
    environment = { TORPOR_OIDC_CALLERS = "{}" }
  }
  expect_failures = [var.environment]
}

run "more_than_all_traffic" {
  command = plan
  variables {
    canary_percent = 110
  }
  expect_failures = [var.canary_percent]
}

run "a_stable_revision_of_nothing" {
  command = plan
  variables {
    stable_revisions = { console = "torpor-console-00001-abc" }
  }
  expect_failures = [var.stable_revisions]
}

run "no_address_to_tell" {
  command = plan
  variables {
    alert_emails = ["ops"]
  }
  expect_failures = [var.alert_emails]
}

run "a_watchdog_that_may_not_miss_a_minute" {
  command = plan
  variables {
    alert_limits = { silent_minutes = 1 }
  }
  expect_failures = [var.alert_limits]
}
