"""Blocking code beside the event loop: each call in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from app.jobs.errors import HandlerExit


def run_in_thread(function: Callable[[], object], name: str) -> Coroutine[Any, Any, object]:
    """Run a blocking function in a thread of its own, with a copy of the current context.

    A daemon thread: one that never ends must not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[object] = loop.create_future()
    copied = contextvars.copy_context()

    def resolve(result: object, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        elif isinstance(error, StopIteration):
            answer.set_exception(RuntimeError("the handler raised StopIteration"))
        elif isinstance(error, SystemExit | KeyboardInterrupt):
            answer.set_exception(HandlerExit(error))
        else:
            answer.set_exception(error)

    def work() -> None:
        result: object = None
        failure: BaseException | None = None
        try:
            result = copied.run(function)
        except BaseException as error:  # noqa: BLE001 - handed to the waiting task, whatever it is
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve, result, failure)

    threading.Thread(target=work, name=name, daemon=True).start()

    async def wait() -> object:
        return await answer

    return wait()
