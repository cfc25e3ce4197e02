"""Torpor: a durable job engine that costs nothing while it sleeps."""

__version__ = "0.1.0"
