"""Reading beside the writer: a few threads, each read on a connection that is idle or new."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.stores.sql.drivers import Driver, Link, Row, Trouble, refusal
from app.stores.sql.statements import Lookup

Answer = TypeVar("Answer")


class Reader:
    """Asks questions in other threads; as many connections as threads, made when they are needed."""

    def __init__(self, driver: Driver, connect: Callable[[], Link], threads: int) -> None:
        self._driver = driver
        self._connect = connect
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="torpor-sql-reader")
        self._idle: deque[Link] = deque()

    async def read(self, lookups: Sequence[Lookup], understand: Callable[[list[list[Row]]], Answer]) -> Answer:
        """Ask, and make what `understand` says of the rows, in the same thread.

        Raises:
            StoreUnavailable: the database cannot be reached now.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, lookups, understand)

    async def close(self) -> None:
        """Let go of every connection and thread."""
        await asyncio.to_thread(self._close)

    def _read(self, lookups: Sequence[Lookup], understand: Callable[[list[list[Row]]], Answer]) -> Answer:
        try:
            link = self._idle.pop()
        except IndexError:
            return understand(self._fetch_anew(lookups))
        try:
            rows = link.fetch(lookups)
        except self._driver.errors as error:
            link.discard()
            if self._driver.trouble(error) is not Trouble.LOST:
                raise refusal(self._driver, error, "reading") from error
            # The server may have closed an idle connection long ago, and the other idle ones with it.
            return understand(self._fetch_anew(lookups))
        self._idle.append(link)
        return understand(rows)

    def _fetch_anew(self, lookups: Sequence[Lookup]) -> list[list[Row]]:
        link: Link | None = None
        try:
            link = self._connect()
            rows = link.fetch(lookups)
        except self._driver.errors as error:
            if link is not None:
                link.discard()
            raise refusal(self._driver, error, "reading") from error
        self._idle.append(link)
        return rows

    def _close(self) -> None:
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().close()
