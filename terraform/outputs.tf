output "urls" {
  description = "Where each service answers."
  value       = local.urls
}

output "wake_topic" {
  description = "TORPOR_WAKE_TOPIC for programs that create jobs themselves."
  value       = google_pubsub_topic.wake.id
}

output "wake_queue" {
  description = "TORPOR_WAKE_QUEUE for programs that create delayed jobs themselves; TORPOR_WAKE_URL is the worker's of `urls`, TORPOR_WAKE_ACCOUNT the `tasks` of `service_accounts`."
  value       = google_cloud_tasks_queue.wake.id
}

output "store_url" {
  description = "TORPOR_STORE_URL for programs that create jobs themselves, and for the command."
  value       = local.environments.worker.TORPOR_STORE_URL
}

output "registry" {
  description = "Where images are pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "service_accounts" {
  description = "The e-mail address of each service account."
  value       = { for key, account in google_service_account.account : key => account.email }
}

output "dead_letters" {
  description = "The subscription with wake-ups that no worker took."
  value       = google_pubsub_subscription.dead.name
}

output "api_tokens_secret" {
  description = "The secret whose newest version lists the entries of the API's tokens."
  value       = google_secret_manager_secret.api_tokens.secret_id
}
