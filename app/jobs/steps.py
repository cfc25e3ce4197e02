"""Recorded steps of a job, and how an attempt replays them: pure.

A step is known by its kind and name. What it returned is recorded once; later attempts are given that instead of
running it again. The number of the call says whether the code still asks for the same steps in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias

from app.jobs.errors import StepNameTwice, StepsChanged
from app.jobs.models import Json

ID_CHARACTERS = 24
"""Of a step's hash; two steps of one job with the same would take 2**48 names."""


class StepKind(StrEnum):
    """What was recorded."""

    STEP = "step"
    """What a function returned."""
    SLEEP = "sleep"
    """Until when the job sleeps."""
    EVENT = "event"
    """An event that arrived, or the time until which it was waited for."""
    REVIEW = "review"
    """What a person decided."""


StepKey: TypeAlias = tuple[StepKind, str]
"""By what a step is known in its job: kind and name."""


def hash_of(*parts: str) -> str:
    """A short name for texts of any length, for ids."""
    return sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:ID_CHARACTERS]


def step_id(job_id: str, key: StepKey) -> str:
    """The id of a step's record."""
    kind, name = key
    return f"{job_id}-{hash_of(str(kind), name)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step."""

    id: str
    key: StepKey
    call: int
    """Which call of its attempt it was, from 1."""
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    """None while it waits for something."""
    value: Json
    """What it returned, or what it waits for."""
    in_order: bool = True
    """Whether the attempt had run one step after the other until then, so that numbers mean something."""
    chunk_ids: tuple[str, ...] = ()
    """The chunk records that hold the value, if it is large."""

    @property
    def name(self) -> str:
        """What the handler calls it."""
        return self.key[1]

    @property
    def kind(self) -> StepKind:
        """What it is."""
        return self.key[0]


@dataclass(slots=True, eq=False)
class Call:
    """One call of a step in an attempt."""

    key: StepKey
    number: int
    in_order: bool
    recorded: Step | None
    """What an earlier attempt left of it."""


class StepBook:
    """What is recorded of a job, and what one attempt has called of it."""

    def __init__(self, job_id: str, recorded: Iterable[Step] = ()) -> None:
        self._job_id = job_id
        self._recorded = {step.key: step for step in recorded}
        self._by_call = {step.call: step for step in self._recorded.values()}
        self._called: set[StepKey] = set()
        self._unnamed: dict[StepKey, int] = {}
        """How many names were made of each stem."""
        self._at_work = 0
        self._in_order = True

    @property
    def recorded(self) -> list[Step]:
        """All that is recorded, in the order of the calls."""
        return sorted(self._recorded.values(), key=lambda step: step.call)

    def next_name(self, kind: StepKind, stem: str) -> str:
        """A name for the next step that the handler did not name: the stem, and a number from the second on."""
        number = self._unnamed[kind, stem] = self._unnamed.get((kind, stem), 0) + 1
        return stem if number == 1 else f"{stem}#{number}"

    def begin(self, key: StepKey) -> Call:
        """Take in that the handler calls a step.

        Raises:
            StepNameTwice: it called one of that name before.
            StepsChanged: an earlier attempt called another one at this place.
        """
        if key in self._called:
            raise StepNameTwice(self._job_id, key[1])
        self._called.add(key)
        number = len(self._called)
        # Steps beside each other take their numbers as it happens, so there a number proves nothing.
        self._in_order = self._in_order and self._at_work == 0
        there = self._by_call.get(number)
        if there is not None and there.key != key and there.in_order and self._in_order:
            raise StepsChanged(self._job_id, number, there.name, key[1])
        self._at_work += 1
        return Call(key, number, self._in_order, self._recorded.get(key))

    def keep(self, step: Step) -> None:
        """Take in what was recorded of a call."""
        self._recorded[step.key] = step

    def is_in_order(self, call: Call) -> bool:
        """Whether nothing ran beside this call, or before it beside each other."""
        return call.in_order and self._in_order

    def end(self, call: Call) -> None:
        """Take in that a call is over, however it ended."""
        self._at_work -= 1
