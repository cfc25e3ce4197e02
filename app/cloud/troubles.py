"""Telling once of a broker that fails, instead of at each wake-up."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Troubles:
    """Whether a broker works.

    Args:
        broker: its name, for people.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._is_known = False

    def failed(self, error: BaseException) -> None:
        """It did not take a wake-up. Told once, until it works again."""
        if not self._is_known:
            logger.warning("workers were not woken through %s: %s; the sweep finds the jobs", self._broker, error)
        self._is_known = True

    def worked(self) -> None:
        """It took one."""
        self._is_known = False
