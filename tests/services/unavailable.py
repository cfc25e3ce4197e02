"""The error of a service that the tests can't reach."""


class ServiceUnavailable(Exception):
    """A service is missing or does not answer; the message says which, why, and how to provide it."""
