"""Applying units: as many as fit in one Commit, and each by itself when that is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    RecordTooLarge,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Update,
    Verify,
    Version,
)
from app.stores.firestore.failures import code_of, write_failure
from app.stores.firestore.values import Message
from app.stores.firestore.wire import Wire
from app.stores.firestore.writes import Writes, check_distinct, versions_of
from app.stores.weights import check_weight, weight

Answer: TypeAlias = list[Version] | StoreError
"""What became of one unit."""


class Commits:
    """Sends units to one environment within the store's limits."""

    def __init__(self, wire: Wire, writes: Writes, limits: StoreLimits) -> None:
        self._wire = wire
        self._writes = writes
        self._limits = limits

    async def apply(self, unit: Unit) -> list[Version]:
        """Apply one unit; raises what `Store.commit` does."""
        check_distinct([unit])
        return await self._apply(unit)

    async def apply_each(self, units: Sequence[Unit]) -> list[Answer]:
        """Apply each unit by itself, most of them together; answers as `Store.commit_each` does."""
        check_distinct(units)
        # All of them are made before the first is sent: a mistake in one must be known before anything is written.
        rounds = [(part, self._request(part)) for part in cut(units, self._limits.units_per_round, self._limits)]
        if len(rounds) == 1:
            return await self._round(*rounds[0])
        answered = await asyncio.gather(*(self._round(*each) for each in rounds))
        return [answer for answers in answered for answer in answers]

    async def _apply(self, unit: Unit) -> list[Version]:
        if not unit:
            return []
        request = self._request([unit])
        packed = request.SerializeToString()
        if len(packed) > self._limits.bytes_per_record or len(unit) > self._limits.writes_per_commit:
            check_weight(unit, self._limits)
        try:
            response = await self._wire.commit(packed, len(unit), _deletes([unit]))
        except PreconditionFailed as error:
            raise _named(error, unit) from error
        return versions_of(unit, response.write_results)

    async def _round(self, units: Sequence[Unit], request: Message) -> list[Answer]:
        """Units that are sent together, in the hope that none is stale."""
        if len(units) == 1:
            return [await self._alone(units[0])]
        packed = request.SerializeToString()
        if len(packed) > self._limits.bytes_per_record:
            return await self._heavy_round(units)
        return await self._together(units, packed)

    async def _heavy_round(self, units: Sequence[Unit]) -> list[Answer]:
        """As `_round`, for units of which one may be too large, or all of them may be too large for one Commit."""
        answers: list[Answer] = []
        sendable: list[Unit] = []
        for unit in units:
            try:
                check_weight(unit, self._limits)
            except RecordTooLarge as error:
                answers.append(error)
            else:
                answers.append([])
                sendable.append(unit)
        sent: list[Answer] = []
        for part in cut(sendable, len(sendable) or 1, self._limits, by_weight=True):
            sent += await self._together(part, self._request(part).SerializeToString())
        following = iter(sent)
        return [answer if isinstance(answer, RecordTooLarge) else next(following) for answer in answers]

    async def _together(self, units: Sequence[Unit], packed: bytes) -> list[Answer]:
        try:
            response = await self._wire.commit(packed, sum(map(len, units)), _deletes(units))
        except OutcomeUnknown as error:
            return [OutcomeUnknown(str(error)) for _ in units]
        except StoreUnavailable as error:
            if error.__cause__ is None:
                # There was no connection to send anything over: trying each alone would only wait again.
                return [StoreUnavailable(str(error)) for _ in units]
            return await self._singly(units)
        except StoreError:
            return await self._singly(units)
        results = iter(response.write_results)
        return [versions_of(unit, [next(results) for _ in unit]) for unit in units]

    async def _singly(self, units: Sequence[Unit]) -> list[Answer]:
        """Each unit by itself: those of one write in one BatchWrite, which answers for each, the others at once."""
        short = [place for place, unit in enumerate(units) if len(unit) == 1]
        long = [place for place, unit in enumerate(units) if len(unit) != 1]
        batch, alone = await asyncio.gather(
            self._batch([units[place] for place in short]),
            asyncio.gather(*(self._alone(units[place]) for place in long)),
        )
        answers: list[Answer] = [[] for _ in units]
        for place, answer in [*zip(short, batch, strict=True), *zip(long, alone, strict=True)]:
            answers[place] = answer
        return answers

    async def _alone(self, unit: Unit) -> Answer:
        try:
            return await self._apply(unit)
        except StoreError as error:
            return error

    async def _batch(self, units: Sequence[Unit]) -> list[Answer]:
        if not units:
            return []
        request = self._wire.new_batch()
        self._writes.fill_all(request.writes, units)
        try:
            response = await self._wire.batch_write(request)
        except StoreError as error:
            return [type(error)(*error.args) for _ in units]
        answers: list[Answer] = []
        for unit, status, result in zip(units, response.status, response.write_results, strict=True):
            if status.code:
                failure = write_failure(code_of(status.code), status.message)
                answers.append(_named(failure, unit) if isinstance(failure, PreconditionFailed) else failure)
            else:
                answers.append(versions_of(unit, [result]))
        return answers

    def _request(self, units: Sequence[Unit]) -> Message:
        request = self._wire.new_commit()
        self._writes.fill_all(request.writes, units)
        return request


def cut(units: Sequence[Unit], most: int, limits: StoreLimits, *, by_weight: bool = False) -> Iterator[Sequence[Unit]]:
    """Units in parts, in order: at most so many in each, within the limits of writes and, if asked, of bytes."""
    current: list[Unit] = []
    writes = size = 0
    for unit in units:
        own = _weight(unit) if by_weight else 0
        if current and (
            len(current) == most
            or writes + len(unit) > limits.writes_per_commit
            or size + own > limits.bytes_per_commit
        ):
            yield current
            current, writes, size = [], 0, 0
        current.append(unit)
        writes += len(unit)
        size += own
    if current:
        yield current


def _weight(unit: Unit) -> int:
    return sum(0 if isinstance(write, (Delete, Verify)) else weight(write.fields) for write in unit)


def _deletes(units: Sequence[Unit]) -> int:
    return sum(type(write) is Delete for unit in units for write in unit)


def _named(error: PreconditionFailed, unit: Unit) -> PreconditionFailed:
    """The same failure with the record's name, where only one can be meant."""
    if len(unit) != 1:
        return error
    write = unit[0]
    if isinstance(write, Insert):
        return PreconditionFailed(write.collection, write.id, "it exists already")
    if isinstance(write, Update | Verify | Delete):
        return PreconditionFailed(write.collection, write.id, "it has another version, or is gone")
    return error
