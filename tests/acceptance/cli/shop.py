"""Job types for commands that run inside the test's own process."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from app.jobs import JobContext, PermanentError, Registry, RetryLater, ReviewNeeded, job


class Order(BaseModel):
    """What `shop_order` takes."""

    width: int = Field(ge=1)


def open_shop(registry: Registry) -> None:
    """Register the types."""

    @job("shop_ok", registry=registry)
    async def shop_ok(ctx: JobContext, n: int = 0) -> dict[str, int]:
        await ctx.log(f"number {n}")
        await ctx.save_result({"seen": n})
        return {"n": n}

    @job("shop_counts", registry=registry)
    async def shop_counts(ctx: JobContext) -> None:
        await ctx.log("one")
        await ctx.log("two", "warning")
        await ctx.flush()
        await ctx.log("three")
        await ctx.report_progress(3, 3, "counted")

    @job("shop_broken", registry=registry)
    async def shop_broken(ctx: JobContext) -> None:
        raise PermanentError("the shop is closed")

    @job("shop_asks", registry=registry)
    async def shop_asks(ctx: JobContext) -> None:
        raise ReviewNeeded("is this right?")

    @job("shop_again", registry=registry, retry_delay_seconds=0)
    async def shop_again(ctx: JobContext) -> int:
        if ctx.attempt == 1:
            raise RetryLater(0)
        return ctx.attempt

    @job("shop_any", registry=registry)
    async def shop_any(ctx: JobContext, **anything: object) -> None: ...

    @job("shop_order", registry=registry, payload_model=Order)
    async def shop_order(ctx: JobContext, order: Order) -> int:
        return order.width

    @job("shop_waits", registry=registry)
    async def shop_waits(ctx: JobContext) -> list[object]:
        first = await ctx.step("first", lambda: "done first")
        return [first, await ctx.wait_for_event("paid")]

    @job("shop_careful", registry=registry)
    async def shop_careful(ctx: JobContext, amount: int) -> list[object]:
        decision = await ctx.request_review("Pay this?", {"amount": amount}, expires_seconds=3600)
        return [amount, decision.by, decision.data]

    @job("shop_stumbles", registry=registry, max_retries=0)
    async def shop_stumbles(ctx: JobContext) -> int:
        number = await ctx.step("number", lambda: ctx.attempt)
        if ctx.attempt == 1:
            raise PermanentError("stumbled")
        return int(number)

    @job("shop_far", registry=registry, pool="far")
    async def shop_far(ctx: JobContext) -> None: ...

    @job("shop_long", registry=registry)
    async def shop_long(ctx: JobContext) -> None:
        await asyncio.Event().wait()

    @job("shop_talks", registry=registry)
    async def shop_talks(ctx: JobContext) -> None:
        print("what a handler prints")  # noqa: T201 - as users' handlers do
