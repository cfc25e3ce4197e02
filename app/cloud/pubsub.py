"""Wake-ups over Pub/Sub: hints as messages, and messages pushed over HTTP back as hints."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.cloud.clients import PUBSUB_EMULATOR, connected
from app.cloud.messages import MalformedHint, hint_in, message_of
from app.cloud.troubles import Troubles
from app.jobs import Hint

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherAsyncClient

PUBLISH_SECONDS = 5.0
"""How long a publish may take: whoever waits for it has better things to do, and the sweep finds the job."""
DELAYED_WITHIN = timedelta(hours=1)
"""Delayed jobs are told of if they are due within this time: whoever hears of them looks more often than that."""
MESSAGES_AT_ONCE = 1000
"""Most messages that one request takes (https://cloud.google.com/pubsub/quotas)."""


def hint_of(body: object) -> Hint:
    """The hint in the body of a push request (https://cloud.google.com/pubsub/docs/push).

    Args:
        body: the request's JSON.

    Raises:
        MalformedHint: it is nothing that `message_of` made.
    """
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise MalformedHint("there is no message in it")
    data = message.get("data", "")
    try:
        said = json.loads(base64.b64decode(data, validate=True) or b"{}")
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise MalformedHint("its data is not JSON in base64") from error
    return hint_in(said)


class PubSubWaker:
    """Publishes hints to a topic. Belongs to one event loop.

    Honours PUBSUB_EMULATOR_HOST, as Google's own clients do.

    Args:
        topic: `projects/PROJECT/topics/TOPIC`.
        delayed: whether it is told of delayed jobs, too. Their messages have an attribute `at`, so that a subscription
            can do without them by the filter `NOT attributes:at`.
    """

    def __init__(self, topic: str, *, delayed: bool = False) -> None:
        self._topic = topic
        self._ahead = DELAYED_WITHIN if delayed else timedelta(0)
        self._client: PublisherAsyncClient | None = None
        self._troubles = Troubles(topic)

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Publish in as few requests as possible. What fails is logged once, until it works again."""
        until = datetime.now(UTC) + self._ahead
        due = [hint for hint in hints if hint.at is None or hint.at <= until]
        for first in range(0, len(due), MESSAGES_AT_ONCE):
            page = due[first : first + MESSAGES_AT_ONCE]
            try:
                await self._publish(page)
            except Exception as error:  # noqa: BLE001 - whatever a client library raises: a hint is not worth a job
                self._troubles.failed(error)
                return
            self._troubles.worked()

    async def _publish(self, hints: Sequence[Hint]) -> None:
        from google.pubsub_v1 import PublishRequest, PubsubMessage

        if self._client is None:
            self._client = _client()
        messages = [
            PubsubMessage(data=message_of(hint), attributes={} if hint.at is None else {"at": hint.at.isoformat()})
            for hint in hints
        ]
        request = PublishRequest(topic=self._topic, messages=messages)
        await self._client.publish(request, timeout=PUBLISH_SECONDS, retry=None)

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.transport.close()  # type: ignore[no-untyped-call]  # the library's own lack


def _client() -> PublisherAsyncClient:
    from google.pubsub_v1 import PublisherAsyncClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

    return connected(PublisherAsyncClient, PublisherGrpcAsyncIOTransport, PUBSUB_EMULATOR)
