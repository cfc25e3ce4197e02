"""How a verb of the context ends the attempt that called it."""

from __future__ import annotations

from app.jobs.events import Event


class Leave(BaseException):
    """Raised through a handler to end its attempt at a place from which a later one goes on.

    Not an `Exception`, so that no handler takes it for a failure of what it tried.
    """

    def __init__(self, event: Event) -> None:
        self.event = event
        """What becomes of the job."""
        super().__init__(event.verb)
