"""Which job types there are, and who handles them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

from app.jobs.definition import JobDefinition
from app.jobs.errors import DuplicateJobType, UnknownJobType

CUSTOM = "custom"
"""The type of jobs that are created without one."""


class JobType(str):
    """The name of a job type. Registering a type also sets it as an attribute, in capitals.

    `JobType("name")` of a name that nobody registered raises `UnknownJobType`, which lists those there are.
    """

    __slots__ = ()

    # Names that exist without a handler: jobs of these types may be built before any code for them is registered.
    BACKTEST: JobType
    OPTIMIZATION: JobType
    SIGNAL_GENERATION: JobType
    DATA_REFRESH: JobType
    CUSTOM: JobType

    def __new__(cls, name: str) -> Self:
        if name not in _names:
            raise UnknownJobType(name, _names)
        return super().__new__(cls, name)

    @classmethod
    def declare(cls, name: str) -> JobType:
        """Make a name known, as an attribute too."""
        if name not in _names:
            _names.add(name)
            setattr(cls, "".join(char if char.isalnum() else "_" for char in name).upper(), cls(name))
        return cls(name)

    @classmethod
    def get_all_job_types(cls) -> list[JobType]:
        """Every name that is known, sorted."""
        return [cls(name) for name in sorted(_names)]


_names: set[str] = set()
for _name in ("backtest", "optimization", "signal_generation", "data_refresh", CUSTOM):
    JobType.declare(_name)


class Registry:
    """Definitions by type name. An engine is given one; `@job` uses the process's own unless told otherwise."""

    def __init__(self) -> None:
        self._definitions: dict[str, JobDefinition] = {}
        self._later: list[Callable[[], object]] = []
        self._loading = threading.RLock()

    def load_later(self, load: Callable[[], object]) -> None:
        """Register more types only once they are needed: when one is asked for that is not there, or all of them are.

        Args:
            load: registers them; called once at most.
        """
        self._later.append(load)

    def _load(self) -> None:
        with self._loading:
            while self._later:
                self._later.pop()()

    def add(self, definition: JobDefinition) -> None:
        """Register a definition.

        Raises:
            DuplicateJobType: another handler has the name.
        """
        there = self._definitions.get(definition.type)
        if there is not None and there.origin != definition.origin:
            raise DuplicateJobType(definition.type, there.origin, definition.origin)
        self._definitions[definition.type] = definition
        JobType.declare(definition.type)

    def remove(self, name: str) -> None:
        """Forget a type, if it is there."""
        self._definitions.pop(name, None)

    def find(self, name: str) -> JobDefinition | None:
        """The definition of a type, or None."""
        if name not in self._definitions:
            self._load()
        return self._definitions.get(name)

    def get(self, name: str) -> JobDefinition:
        """The definition of a type.

        Raises:
            UnknownJobType: listing those there are.
        """
        definition = self.find(name)
        if definition is None:
            raise UnknownJobType(name, self._definitions)
        return definition

    def dependencies(self, name: str) -> tuple[str, ...]:
        """The types of which a new job of this type waits for the newest one."""
        definition = self.find(name)
        return () if definition is None else definition.options.dependencies

    def __iter__(self) -> Iterator[JobDefinition]:
        self._load()
        return self.known()

    def __len__(self) -> int:
        self._load()
        return len(self._definitions)

    def known(self) -> Iterator[JobDefinition]:
        """The types that are registered already: enough for who has to do with jobs only that it has met."""
        return iter(sorted(self._definitions.values(), key=lambda definition: definition.type))

    def routes(self) -> set[str]:
        """The routes of all types that are registered already, and the default one."""
        return {"default", *(definition.options.route for definition in self._definitions.values())}


class JobRegistry:
    """The process's own registry: every type that `@job` registered, and each one's options as plain data."""

    registry = Registry()

    @classmethod
    def list_jobs(cls) -> dict[str, dict[str, Any]]:
        """Every registered type with its options."""
        return {
            definition.type: definition.options.model_dump(exclude={"payload_model"}) for definition in cls.registry
        }
