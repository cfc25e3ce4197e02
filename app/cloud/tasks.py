"""Wake-ups at an exact time over Cloud Tasks: a task for each job that is delayed for a short while.

The sweep finds delayed jobs too, up to a minute late. That is little beside an hour and much beside five seconds, so
only short delays get a task. Tasks have no names: names would keep a task from being made twice, which does no harm,
and make creating it slower (https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2#createtaskrequest).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from app.cloud.clients import connected
from app.cloud.messages import message_of
from app.cloud.troubles import Troubles
from app.jobs import Clock, Hint

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksAsyncClient, Task

ROUTE = "/tasks/wake"
"""The worker's route that tasks call."""
CREATE_SECONDS = 5.0
"""How long creating a task may take: whoever waits for it has better things to do, and the sweep finds the job."""
DISPATCH_SECONDS = 600
"""How long a task's call may take: as long as a worker's longest request. The service's own limit may be shorter."""
EMULATOR = "CLOUD_TASKS_EMULATOR_HOST"
"""Names a stand-in for Cloud Tasks, as `PUBSUB_EMULATOR_HOST` does for Pub/Sub."""


class CloudTasksWaker:
    """Makes tasks that call a worker when a job may go on. Belongs to one event loop.

    Args:
        queue: `projects/PROJECT/locations/LOCATION/queues/QUEUE`.
        url: the worker's, without a path; also what tokens are made out to.
        account: the service account in whose name it is called; None sends no token.
        within: how far ahead tasks are made.
        clock: the time.
    """

    def __init__(self, queue: str, url: str, account: str | None, *, within: timedelta, clock: Clock) -> None:
        self._queue = queue
        self._url = url
        self._account = account
        self._within = within
        self._clock = clock
        self._client: CloudTasksAsyncClient | None = None
        self._troubles = Troubles(queue)

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Make the tasks, all at the same time. What fails is logged once, until it works again."""
        latest = self._clock.now() + self._within
        chosen = [hint for hint in hints if hint.at is None or hint.at <= latest]
        answers = await asyncio.gather(*map(self._create, chosen), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                self._troubles.failed(answer)
                return
            if answer is not None:
                raise answer  # a cancelled task
        if answers:
            self._troubles.worked()

    async def _create(self, hint: Hint) -> None:
        if self._client is None:
            self._client = _client()
        # Without the library's own retry: it would go on for longer than anybody waits here.
        await self._client.create_task(parent=self._queue, task=self._task(hint), timeout=CREATE_SECONDS, retry=None)

    def _task(self, hint: Hint) -> Task:
        from google.cloud.tasks_v2 import HttpMethod, HttpRequest, OidcToken, Task

        call = HttpRequest(
            url=f"{self._url}{ROUTE}",
            http_method=HttpMethod.POST,
            headers={"Content-Type": "application/json"},
            body=message_of(hint),
        )
        if self._account is not None:
            call.oidc_token = OidcToken(service_account_email=self._account, audience=self._url)
        return Task(http_request=call, dispatch_deadline=timedelta(seconds=DISPATCH_SECONDS), schedule_time=hint.at)

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.transport.close()  # type: ignore[no-untyped-call]  # the library's own lack


def _client() -> CloudTasksAsyncClient:
    from google.cloud.tasks_v2 import CloudTasksAsyncClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

    return connected(CloudTasksAsyncClient, CloudTasksGrpcAsyncIOTransport, EMULATOR)
