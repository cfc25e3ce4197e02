"""What every verb of the client stands on: the connection, and how calls are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx

from app.client.sending import Sender, Sleep
from app.jobs import Job

Json: TypeAlias = Any
PAGE = 500
"""So many records are asked for at once, of a list that is wanted whole."""


def part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")


def plain(value: Any) -> Any:
    """A value as a query or a body can say it."""
    return value.isoformat() if isinstance(value, datetime) else value


def page_size(limit: int | None, found: int) -> int:
    """How many to ask for next of a list of which so many are wanted, and so many found.

    What is no number of records is asked for as it is: the server refuses it by name.
    """
    if limit is None:
        return PAGE
    return min(PAGE, limit - found) if type(limit) is int and limit > 0 else limit


def only(revision: int | None) -> dict[str, str | None]:
    """The header that lets a change hold for one revision of a job; None is any."""
    return {"If-Match": None if revision is None else f'"{revision}"'}


class ClientBase:
    """One server, and a connection to it."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            url: the server's address, such as `https://torpor.example.com`.
            token: an API token; None where nobody is asked.
            timeout_seconds: how long one answer may take.
            headers: sent with every request.
            transport: how requests travel; by default over the network.
            sleep: waits between two looks.
        """
        self._sleep = sleep
        self._api = Sender(
            url, token, timeout_seconds=timeout_seconds, headers=headers or {}, transport=transport, sleep=sleep
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _steer(self, job_id: str, verb: str, body: Mapping[str, Any] | None, revision: int | None) -> Job:
        route = f"/jobs/{part(job_id)}/{verb}"
        return await self._api.ask(Job, "POST", route, body=body, headers=only(revision))

    async def _jobs(self, route: str) -> list[Job]:
        return self._api.read(list[Job], await self._whole(route, "jobs"))

    async def _whole(self, route: str, member: str) -> list[Any]:
        """A list, page after page."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            query = {"limit": PAGE, "cursor": cursor}
            page = (await self._api.send("GET", route, query=query)).json()
            found += page[member]
            cursor = page["cursor"]
            if cursor is None:
                return found

    async def _count(self, route: str, query: Mapping[str, Any] | None = None) -> int:
        return int((await self._api.send("GET", route, query=query)).json()["jobs"])

    async def _number(self, route: str, body: Mapping[str, Any] | None = None) -> int:
        return int((await self._api.send("POST", route, body=body)).json()["jobs"])
