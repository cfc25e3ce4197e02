"""One connection to the API: requests, answers, and streams that are taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from app.client.errors import ApiError, Unreachable, error_of

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

PREFIX = "/api/v1"
CONNECT_TRIES = 2
SILENCE_SECONDS = 45.0
"""A stream says something every ten seconds: after so long there is nobody any more."""
FRUITLESS = 5
"""So many connections of a stream in a row may bring nothing before it is given up."""
AGAIN_SECONDS = 1.0


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class Sender:
    """Sends requests to one server.

    Args:
        url: the server's address.
        token: an API token; None where nobody is asked.
        timeout_seconds: how long one answer may take.
        headers: sent with every request.
        transport: how requests travel; by default over the network.
        sleep: waits, before a stream is taken up again.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_seconds: float,
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._url = url
        self._sleep = sleep
        said = dict(headers)
        if token is not None:
            said["Authorization"] = f"Bearer {token}"
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + PREFIX,
            headers=said,
            timeout=timeout_seconds,
            transport=transport or httpx.AsyncHTTPTransport(retries=CONNECT_TRIES),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        route: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """Send one request. What is None in the query or the headers is left out.

        Raises:
            TorporError, StoreError: what the server refused or failed at.
            Unreachable: it did not answer.
        """
        said = {name: value for name, value in (headers or {}).items() if value is not None}
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            said["Content-Type"] = "application/json"
        try:
            answer = await self._client.request(method, route, params=asked, content=content, headers=said)
        except httpx.TransportError as error:
            raise Unreachable(self._url, repr(error)) from error
        if answer.is_error:
            raise error_of(answer.status_code, answer.content)
        return answer

    async def ask(self, kind: type[T], method: str, route: str, **how: Any) -> T:
        """Send one request, and read its answer as a model or a dataclass.

        Raises:
            as `send` does.
        """
        answer = await self.send(method, route, **how)
        return self.read(kind, answer.json())

    @staticmethod
    def read(kind: type[T], told: Any) -> T:
        """What was answered, as a model or a dataclass."""
        wanted: Any = kind
        read: T = _adapter(wanted).validate_python(told)
        return read

    async def events(self, route: str, kind: str, last: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        """The data of a stream's events, over as many connections as it takes.

        Args:
            route: of the stream.
            kind: the events that are wanted.
            last: the id of the last event that is known already.

        Raises:
            as `send` does.
        """
        fruitless = 0
        while True:
            trouble: Exception | None = None
            try:
                async for name, number, data in self._connection(route, last):
                    fruitless = 0
                    last = last if number is None else number
                    if name == "end":
                        return
                    if name == kind:
                        yield data
            except httpx.TransportError as error:
                trouble = Unreachable(self._url, repr(error))
            except ApiError as error:
                if error.said != "STREAMS_FULL":
                    raise
                trouble = error
            fruitless += 1
            if trouble is not None and fruitless >= FRUITLESS:
                raise trouble
            await self._sleep(AGAIN_SECONDS * fruitless)

    async def _connection(self, route: str, last: int) -> AsyncGenerator[tuple[str, int | None, dict[str, Any]], None]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        timeout = httpx.Timeout(self._client.timeout.connect, read=SILENCE_SECONDS)
        async with self._client.stream("GET", route, headers=headers, timeout=timeout) as answer:
            if answer.is_error:
                raise error_of(answer.status_code, await answer.aread())
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "event" in fields:
                    number = fields.get("id")
                    yield fields["event"], None if number is None else int(number), json.loads(fields["data"])
                fields = {}
