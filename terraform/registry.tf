# Where images are. The first one is built before anything else is there, so the build makes the registry and this
# takes it over.

import {
  for_each = var.registry_exists ? toset(["images"]) : []
  to       = google_artifact_registry_repository.images
  id       = "projects/${var.project}/locations/${var.region}/repositories/${var.name}"
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  description   = "Images of Torpor"

  # A revision names its image by digest, and what it names stays: the ten newest, and whatever is younger than a month.
  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.used]
}
