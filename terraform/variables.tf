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
