# That who calls, what is called, and how long both take agree.

mock_provider "google" {
  override_during = plan

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  override_resource {
    target = google_service_account.account["push"]
    values = { email = "torpor-push@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-push@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.account["tasks"]
    values = { name = "projects/example/serviceAccounts/torpor-tasks@example.iam.gserviceaccount.com", email = "torpor-tasks@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-tasks@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.account["scheduler"]
    values = { email = "torpor-scheduler@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-scheduler@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.account["worker"]
    values = { email = "torpor-worker@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-worker@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.account["watchdog"]
    values = { email = "torpor-watchdog@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-watchdog@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.account["web"]
    values = { email = "torpor-web@example.iam.gserviceaccount.com", member = "serviceAccount:torpor-web@example.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_firestore_database.torpor
    values = { id = "projects/example/databases/(default)" }
  }
  override_resource {
    target = google_pubsub_topic.wake
    values = { id = "projects/example/topics/torpor-wake" }
  }
  override_resource {
    target = google_cloud_tasks_queue.wake
    values = { id = "projects/example/locations/us-central1/queues/torpor-wake" }
  }
  override_resource {
    target = google_pubsub_topic.dead
    values = { id = "projects/example/topics/torpor-wake-dead" }
  }
  override_resource {
    target = google_cloud_run_v2_service.service["worker"]
    values = { urls = ["https://torpor-worker-hash-uc.a.run.app", "https://torpor-worker-123456789012.us-central1.run.app"] }
  }
  override_resource {
    target = google_cloud_run_v2_service.service["watchdog"]
    values = { urls = ["https://torpor-watchdog-123456789012.us-central1.run.app"] }
  }
  override_resource {
    target = google_cloud_run_v2_service.service["web"]
    values = { urls = ["https://torpor-web-123456789012.us-central1.run.app"] }
  }
}

variables {
  project         = "example"
  image           = "us-central1-docker.pkg.dev/example/torpor/torpor:test"
  registry_exists = false
}

run "push_goes_to_the_worker_with_a_token_made_out_to_it" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.wake.push_config[0].push_endpoint == "${output.urls.worker}/pubsub/push"
    error_message = "Wake-ups must go to the worker's push route."
  }
  assert {
    condition     = google_pubsub_subscription.wake.push_config[0].oidc_token[0].audience == output.urls.worker
    error_message = "The audience of a push must be the service's URL."
  }
  assert {
    condition     = contains(google_cloud_run_v2_service.service["worker"].urls, output.urls.worker)
    error_message = "The URL must be one that Cloud Run gives."
  }
  assert {
    condition     = local.environments.worker.TORPOR_OIDC_AUDIENCE == google_pubsub_subscription.wake.push_config[0].oidc_token[0].audience
    error_message = "The worker must expect the audience that pushes have."
  }
  assert {
    condition     = google_pubsub_subscription.wake.topic == google_pubsub_topic.wake.id && local.environments.worker.TORPOR_WAKE_TOPIC == google_pubsub_topic.wake.id
    error_message = "What is published must be what is pushed."
  }
}

run "scheduler_calls_each_route_with_a_token_made_out_to_its_service" {
  command = plan

  assert {
    condition = {
      for key, job in google_cloud_scheduler_job.each_minute : key => job.http_target[0].uri
      } == {
      drain    = "https://torpor-worker-123456789012.us-central1.run.app/tasks/drain"
      tick     = "https://torpor-watchdog-123456789012.us-central1.run.app/tasks/tick"
      watchdog = "https://torpor-watchdog-123456789012.us-central1.run.app/tasks/watchdog"
    }
    error_message = "Each route must be called at the service that has it."
  }
  assert {
    condition = alltrue([
      for job in google_cloud_scheduler_job.each_minute :
      startswith(job.http_target[0].uri, "${job.http_target[0].oidc_token[0].audience}/tasks/") && job.http_target[0].http_method == "POST"
    ])
    error_message = "The audience must be the URL of the service that is called, by POST."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.each_minute : job.schedule == "* * * * *"])
    error_message = "Each is called every minute."
  }
}

run "deadlines_agree" {
  command = plan

  variables {
    worker = { request_seconds = 240 }
  }

  assert {
    condition     = google_cloud_run_v2_service.service["worker"].template[0].timeout == "240s"
    error_message = "The worker's timeout must be what was asked for."
  }
  assert {
    condition     = "${google_pubsub_subscription.wake.ack_deadline_seconds}s" == google_cloud_run_v2_service.service["worker"].template[0].timeout
    error_message = "Pub/Sub must wait as long as the worker may take."
  }
  assert {
    condition = alltrue([
      for key, job in google_cloud_scheduler_job.each_minute :
      job.attempt_deadline == google_cloud_run_v2_service.service[local.schedules[key].service].template[0].timeout
    ])
    error_message = "Cloud Scheduler must wait as long as the service that it calls may take."
  }
  assert {
    condition = alltrue([
      for key, service in google_cloud_run_v2_service.service : "${local.environments[key].TORPOR_REQUEST_SECONDS}s" == service.template[0].timeout
    ])
    error_message = "The code must know the timeout that it has."
  }
  assert {
    condition = alltrue([
      for key, service in google_cloud_run_v2_service.service :
      tonumber(local.environments[key].TORPOR_CONCURRENCY) == service.template[0].max_instance_request_concurrency
    ])
    error_message = "The code must have as many slots as Cloud Run sends requests."
  }
}

run "every_caller_may_call_its_routes_and_no_others" {
  command = plan

  assert {
    condition = jsondecode(local.environments.worker.TORPOR_OIDC_CALLERS) == {
      "torpor-push@example.iam.gserviceaccount.com"      = ["/pubsub/push"]
      "torpor-tasks@example.iam.gserviceaccount.com"     = ["/tasks/wake"]
      "torpor-scheduler@example.iam.gserviceaccount.com" = ["/tasks/drain"]
    }
    error_message = "The worker's callers are Pub/Sub, Cloud Tasks and Cloud Scheduler, each with its route."
  }
  assert {
    condition = jsondecode(local.environments.watchdog.TORPOR_OIDC_CALLERS) == {
      "torpor-scheduler@example.iam.gserviceaccount.com" = ["/tasks/tick", "/tasks/watchdog"]
    }
    error_message = "The watchdog's caller is Cloud Scheduler."
  }
  assert {
    condition = {
      for key, grant in google_cloud_run_v2_service_iam_member.caller : key => "${grant.name} ${grant.member}"
      } == {
      "worker push"        = "torpor-worker serviceAccount:torpor-push@example.iam.gserviceaccount.com"
      "worker tasks"       = "torpor-worker serviceAccount:torpor-tasks@example.iam.gserviceaccount.com"
      "worker scheduler"   = "torpor-worker serviceAccount:torpor-scheduler@example.iam.gserviceaccount.com"
      "watchdog scheduler" = "torpor-watchdog serviceAccount:torpor-scheduler@example.iam.gserviceaccount.com"
    }
    error_message = "Only they may call; nobody calls the web service unless named."
  }
  assert {
    condition     = google_pubsub_subscription.wake.push_config[0].oidc_token[0].service_account_email == "torpor-push@example.iam.gserviceaccount.com"
    error_message = "Pub/Sub must push as its own account."
  }
  assert {
    condition = alltrue([
      for job in google_cloud_scheduler_job.each_minute :
      job.http_target[0].oidc_token[0].service_account_email == "torpor-scheduler@example.iam.gserviceaccount.com"
    ])
    error_message = "Cloud Scheduler must call as its own account."
  }
}

run "nobody_calls_without_an_identity" {
  command = plan

  variables {
    people        = ["group:ops@example.com"]
    people_scopes = { "ann@example.com" = ["admin"], "bob@example.com" = ["read"] }
    programs      = ["serviceAccount:crm@example.iam.gserviceaccount.com"]
  }

  assert {
    condition = alltrue([
      for grant in google_cloud_run_v2_service_iam_member.caller : !contains(["allUsers", "allAuthenticatedUsers"], grant.member)
    ])
    error_message = "No service may be public."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.service : service.invoker_iam_disabled != true])
    error_message = "Cloud Run's own check must stay on."
  }
  assert {
    condition = alltrue([
      for key in ["worker", "watchdog"] : google_cloud_run_v2_service.service[key].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    ])
    error_message = "Only Google's callers of this project reach the workers."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["web"].iap_enabled && !google_cloud_run_v2_service.service["worker"].iap_enabled
    error_message = "People come through Identity-Aware Proxy, to the web service only."
  }
  assert {
    condition     = local.environments.web.TORPOR_IAP_AUDIENCE == "/projects/123456789012/locations/us-central1/services/torpor-web"
    error_message = "The web service must expect the audience that Identity-Aware Proxy signs for."
  }
  assert {
    condition     = jsondecode(local.environments.web.TORPOR_PEOPLE) == { "ann@example.com" = ["admin"], "bob@example.com" = ["read"] }
    error_message = "The web service must know what people may do: it does not start without."
  }
  assert {
    condition     = alltrue([for key in ["worker", "watchdog"] : !can(local.environments[key].TORPOR_PEOPLE) && !can(local.environments[key].TORPOR_IAP_AUDIENCE)])
    error_message = "Only the web service has to do with people."
  }
  assert {
    condition     = google_iap_web_iam_member.people["group:ops@example.com"].role == "roles/iap.httpsResourceAccessor"
    error_message = "Named people are let in."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.caller["web serviceAccount:crm@example.iam.gserviceaccount.com"].name == "torpor-web"
    error_message = "Named programs may call the API."
  }
}

run "programs_are_known_by_tokens_from_a_secret_that_only_the_web_service_reads" {
  command = plan

  assert {
    condition = {
      for key, service in google_cloud_run_v2_service.service : key => [
        for each in service.template[0].containers[0].env : "${each.name} ${each.value_source[0].secret_key_ref[0].secret} ${each.value_source[0].secret_key_ref[0].version}"
        if length(each.value_source) > 0
      ]
    } == { worker = [], watchdog = [], web = ["TORPOR_API_TOKENS torpor-api-tokens latest"] }
    error_message = "The web service gets its tokens from the secret, and nobody else does."
  }
  assert {
    condition     = output.api_tokens_secret == "torpor-api-tokens" && google_secret_manager_secret_version.no_tokens.secret_data == "[]"
    error_message = "There is a version from the beginning, which lets nobody in: without one the service would not start."
  }
  assert {
    condition = (
      google_secret_manager_secret_iam_member.api_tokens.secret_id == "torpor-api-tokens" &&
      google_secret_manager_secret_iam_member.api_tokens.role == "roles/secretmanager.secretAccessor" &&
      google_secret_manager_secret_iam_member.api_tokens.member == "serviceAccount:torpor-web@example.iam.gserviceaccount.com"
    )
    error_message = "Only the web service may read the secret, and it may do nothing else with it."
  }
  assert {
    condition     = tonumber(local.environments.web.TORPOR_STREAMS) < google_cloud_run_v2_service.service["web"].template[0].max_instance_request_concurrency
    error_message = "Those who follow jobs must leave places to those who ask."
  }
}

run "every_service_is_asleep_between_requests_and_runs_as_its_own_account" {
  command = plan

  assert {
    condition = alltrue([
      for service in google_cloud_run_v2_service.service :
      service.template[0].containers[0].resources[0].cpu_idle && service.template[0].scaling[0].min_instance_count == 0
    ])
    error_message = "Nothing may run, or be billed, between requests."
  }
  assert {
    condition = {
      for key, service in google_cloud_run_v2_service.service : key => service.template[0].service_account
      } == {
      for key in ["worker", "watchdog", "web"] : key => "torpor-${key}@example.iam.gserviceaccount.com"
    }
    error_message = "Each service has an account of its own."
  }
  assert {
    condition = {
      for key, service in google_cloud_run_v2_service.service :
      key => one([for each in service.template[0].containers[0].env : each.value if each.name == "TORPOR_SERVICE"])
    } == { worker = "job_worker", watchdog = "watchdog_worker", web = "web" }
    error_message = "One image is started as three things."
  }
  assert {
    condition = alltrue([
      for service in google_cloud_run_v2_service.service :
      service.template[0].containers[0].startup_probe[0].http_get[0].path == "/healthz" &&
      service.template[0].containers[0].liveness_probe[0].http_get[0].path == "/healthz"
    ])
    error_message = "Each has a startup and a liveness probe."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["watchdog"].template[0].scaling[0].max_instance_count == 1
    error_message = "One watchdog is enough."
  }
  assert {
    condition     = output.store_url == "firestore://example/(default)"
    error_message = "All use the database that is made here."
  }
}

run "each_account_has_only_what_it_needs" {
  command = plan

  assert {
    condition     = toset([for grant in google_project_iam_member.database : grant.role]) == toset(["roles/datastore.user"])
    error_message = "Services read and write documents, and do not administer the database."
  }
  assert {
    condition = alltrue([
      for grant in google_project_iam_member.database : grant.condition[0].expression == "resource.name == \"projects/example/databases/(default)\""
    ])
    error_message = "Services may use no other database."
  }
  assert {
    condition = alltrue([
      for grant in concat(values(google_project_iam_member.database), values(google_project_iam_member.telemetry)) :
      !can(regex("^roles/(owner|editor|viewer|.*[aA]dmin)$", grant.role)) && !can(regex("torpor-(push|tasks|scheduler)@", grant.member))
    ])
    error_message = "No broad role, and none on the project for those who only call."
  }
  assert {
    condition     = alltrue([for grant in google_pubsub_topic_iam_member.wakes : grant.topic == "torpor-wake" && grant.role == "roles/pubsub.publisher"])
    error_message = "Services publish wake-ups and nothing else."
  }
  assert {
    condition     = google_service_account_iam_member.push_tokens.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub's own account signs the pushes."
  }
}

run "wake_ups_that_fail_come_again_and_then_lie_aside" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.wake.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead.id
    error_message = "A wake-up that no worker takes must go to the dead letters."
  }
  assert {
    condition     = google_pubsub_subscription.dead.topic == google_pubsub_topic.dead.id
    error_message = "Dead letters must be kept for somebody to look at."
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_letters.topic == google_pubsub_topic.dead.name &&
      google_pubsub_topic_iam_member.dead_letters.role == "roles/pubsub.publisher" &&
      google_pubsub_subscription_iam_member.dead_letters.subscription == google_pubsub_subscription.wake.name &&
      google_pubsub_subscription_iam_member.dead_letters.role == "roles/pubsub.subscriber"
    )
    error_message = "Without these two rights Pub/Sub moves nothing, and says nothing."
  }
  assert {
    condition     = google_pubsub_subscription.wake.retry_policy[0].minimum_backoff == "10s" && google_pubsub_subscription.wake.retry_policy[0].maximum_backoff == "600s"
    error_message = "Retries must back off."
  }
  assert {
    condition     = alltrue([for each in [google_pubsub_subscription.wake, google_pubsub_subscription.dead] : each.expiration_policy[0].ttl == ""])
    error_message = "A month without jobs must not delete a subscription."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.each_minute : job.retry_config[0].retry_count > 0])
    error_message = "A trigger that meets an ending instance must be tried again."
  }
}

run "tasks_call_the_worker_as_an_account_that_may_do_nothing_else" {
  command = plan

  variables {
    worker = { slots = 4, max_instances = 5, request_seconds = 240 }
  }

  assert {
    condition = alltrue([
      for environment in local.environments :
      environment.TORPOR_WAKE_QUEUE == google_cloud_tasks_queue.wake.id && environment.TORPOR_WAKE_URL == output.urls.worker &&
      environment.TORPOR_WAKE_ACCOUNT == "torpor-tasks@example.iam.gserviceaccount.com"
    ])
    error_message = "Every service must make tasks of this queue that call the worker as their own account."
  }
  assert {
    condition     = local.environments.worker.TORPOR_OIDC_AUDIENCE == local.environments.worker.TORPOR_WAKE_URL
    error_message = "The worker must expect the audience that tasks' tokens have: the address that is called."
  }
  assert {
    condition     = output.wake_queue == "projects/example/locations/us-central1/queues/torpor-wake" && google_cloud_tasks_queue.wake.location == "us-central1"
    error_message = "The queue is where the worker is."
  }
  assert {
    condition = toset([
      for grant in google_cloud_tasks_queue_iam_member.delays : "${grant.name} ${grant.role} ${grant.member}"
      ]) == toset([
      for key in ["worker", "watchdog", "web"] : "torpor-wake roles/cloudtasks.enqueuer serviceAccount:torpor-${key}@example.iam.gserviceaccount.com"
    ])
    error_message = "Services add tasks to this queue, and do not administer it."
  }
  assert {
    condition = toset([
      for grant in google_service_account_iam_member.delays : "${grant.service_account_id} ${grant.role} ${grant.member}"
      ]) == toset([
      for key in ["worker", "watchdog", "web"] : "projects/example/serviceAccounts/torpor-tasks@example.iam.gserviceaccount.com roles/iam.serviceAccountUser serviceAccount:torpor-${key}@example.iam.gserviceaccount.com"
    ])
    error_message = "Without this right a task that calls as that account cannot be made; no other account may be acted as."
  }
  assert {
    condition     = google_cloud_tasks_queue.wake.rate_limits[0].max_concurrent_dispatches == 20
    error_message = "No more calls at a time than the workers have slots."
  }
  assert {
    condition = (
      google_cloud_tasks_queue.wake.retry_config[0].max_attempts == 5 && google_cloud_tasks_queue.wake.retry_config[0].min_backoff == "1s" &&
      google_cloud_tasks_queue.wake.retry_config[0].max_backoff == "10s"
    )
    error_message = "A task is tried again soon, and given up before the sweep comes."
  }
}

run "a_queue_calls_no_more_than_queues_may" {
  command = plan

  variables {
    worker = { slots = 250, max_instances = 100 }
  }

  assert {
    condition     = google_cloud_tasks_queue.wake.rate_limits[0].max_concurrent_dispatches == 5000 && google_cloud_tasks_queue.wake.rate_limits[0].max_dispatches_per_second == 500
    error_message = "Cloud Tasks refuses queues with higher limits."
  }
}

run "what_expires_is_what_the_engine_gives_an_end" {
  command = plan

  assert {
    condition     = toset(keys(google_firestore_field.expiring)) == toset(local.firestore_expiring) && contains(local.firestore_expiring, "jobs") && contains(local.firestore_expiring, "runs")
    error_message = "Jobs, their summaries and what belongs to them have a time to live."
  }
  assert {
    condition     = alltrue([for each in google_firestore_field.expiring : each.field == "expire_at" && length(each.ttl_config) == 1])
    error_message = "The time to live is in expire_at."
  }
}

run "a_canary_takes_its_share_and_the_stable_revision_the_rest" {
  command = plan

  variables {
    canary_percent   = 10
    stable_revisions = { worker = "torpor-worker-00007-abc" }
  }

  assert {
    condition = [for each in google_cloud_run_v2_service.service["worker"].traffic : "${each.type} ${each.percent}"] == [
      "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST 10", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION 90"
    ]
    error_message = "The newest revision takes the canary's share."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["worker"].traffic[1].revision == "torpor-worker-00007-abc"
    error_message = "The rest stays where it was."
  }
  assert {
    condition     = [for each in google_cloud_run_v2_service.service["web"].traffic : "${each.type} ${each.percent}"] == ["TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST 100"]
    error_message = "A service without a stable revision is new: all traffic goes to it."
  }
}

run "a_canary_is_taken_back" {
  command = plan

  variables {
    canary_percent   = 0
    stable_revisions = { worker = "torpor-worker-00007-abc" }
  }

  assert {
    condition     = [for each in google_cloud_run_v2_service.service["worker"].traffic : "${each.revision} ${each.percent}"] == ["torpor-worker-00007-abc 100"]
    error_message = "All traffic goes back to the stable revision."
  }
}

run "somebody_is_told" {
  command = plan

  variables {
    alert_emails = ["ops@example.com"]
    alert_limits = { oldest_due_seconds = 120, silent_minutes = 7 }
  }

  assert {
    condition     = keys(google_monitoring_alert_policy.alert) == ["dead_letters", "failed_rate", "oldest_due", "sweep_silence", "watchdog_silence"]
    error_message = "There are five alerts."
  }
  assert {
    condition     = alltrue([for alert in google_monitoring_alert_policy.alert : length(alert.notification_channels) == 1])
    error_message = "Each alert is sent to whoever is named."
  }
  assert {
    condition = alltrue([
      for alert in google_monitoring_alert_policy.alert : alert.conditions[0].condition_prometheus_query_language[0].disable_metric_validation
    ])
    error_message = "In an empty project the metrics are not known yet."
  }
  assert {
    condition = (
      strcontains(google_monitoring_alert_policy.alert["oldest_due"].conditions[0].condition_prometheus_query_language[0].query, "logging_googleapis_com:user_torpor_oldest_due_seconds_sum") &&
      endswith(google_monitoring_alert_policy.alert["oldest_due"].conditions[0].condition_prometheus_query_language[0].query, "> 120")
    )
    error_message = "The age of the oldest due job is compared with its limit."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alert["watchdog_silence"].conditions[0].condition_prometheus_query_language[0].query, "logging_googleapis_com:user_torpor_watchdog_rounds{monitored_resource=\"cloud_run_revision\"}[7m]")
    error_message = "Silence is counted over the minutes that were given."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alert["sweep_silence"].conditions[0].condition_prometheus_query_language[0].query, "logging_googleapis_com:user_torpor_oldest_due_seconds_count{monitored_resource=\"cloud_run_revision\"}[7m]")
    error_message = "A sweep that does not come is noticed, as it would tell of due jobs."
  }
  assert {
    condition = alltrue([
      for kind in ["cloud_run_revision", "cloud_run_worker_pool"] :
      strcontains(google_logging_metric.attempts.filter, kind) &&
      strcontains(google_monitoring_alert_policy.alert["failed_rate"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"${kind}\",outcome=\"failed\"")
    ])
    error_message = "Attempts count wherever they end: in the service, and in pools of workers that stay."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alert["dead_letters"].conditions[0].condition_prometheus_query_language[0].query, "subscription_id=\"torpor-wake\"")
    error_message = "Dead letters are counted where they come from."
  }
}

run "nobody_is_told_who_does_not_want_it" {
  command = plan

  variables {
    alerts_are_on = false
    alert_emails  = ["ops@example.com"]
  }

  assert {
    condition     = length(google_monitoring_alert_policy.alert) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "Alerts can be left out."
  }
}
