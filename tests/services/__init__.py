"""How tests reach real services: one context manager per service, each raising `ServiceUnavailable` when it can't."""
