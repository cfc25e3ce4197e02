"""One engine, and everybody in the process who uses it."""

from __future__ import annotations

from app.serve.timetable import Timetable
from app.web.api.desk import Desk
from app.web.instance import Instance


class House:
    """What lives on the process's event loop.

    Args:
        desk: answers the API's requests.
        instance: answers the worker's routes.
        timetable: does what has to be done now and then.
    """

    def __init__(self, desk: Desk, instance: Instance, timetable: Timetable) -> None:
        self.desk = desk
        self.instance = instance
        self._timetable = timetable

    def begin_stop(self) -> None:
        """Take no more work, give leases back, and let streams end."""
        self._timetable.stop()
        self.instance.begin_stop()
        self.desk.begin_stop()

    async def close(self) -> None:
        """The same, and wait for it; then close the store."""
        self.begin_stop()
        await self._timetable.close()
        await self.instance.close()
