"""A model that asks a server on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from app.catalog.gemini import GeminiModel
from tests.support.vertex_server import Reply, VertexServer

Asking = Callable[..., Awaitable[tuple[GeminiModel, VertexServer]]]


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    """Makes a model and the server that answers it with the given replies."""
    async with AsyncExitStack() as stack:

        async def make(*replies: Reply) -> tuple[GeminiModel, VertexServer]:
            server = stack.enter_context(VertexServer(*replies))
            model = GeminiModel(**server.arguments)
            stack.push_async_callback(model.close)
            return model, server

        yield make
