"""The command `torpor`."""

from app.cli.root import main

__all__ = ["main"]
