"""Connections to Google's services, or to what stands in for one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

C = TypeVar("C")

PUBSUB_EMULATOR = "PUBSUB_EMULATOR_HOST"
"""Names a stand-in for Pub/Sub, as in Google's own libraries."""


def connected(client: Callable[..., C], transport: Callable[..., object], emulator: str) -> C:
    """A client of one of Google's services.

    Args:
        client: makes one.
        transport: makes what carries its calls, for a stand-in.
        emulator: the environment variable that names a stand-in's address, which is spoken to unencrypted.
    """
    address = os.environ.get(emulator)
    if not address:
        return client()
    import grpc.aio

    return client(transport=transport(channel=grpc.aio.insecure_channel(address)))
