"""The HTTP API: what the managers offer, under `/api/v1`."""
