"""Which job types there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.jobs import JobRegistry, JobType, Registry, job
from app.jobs.definition import define
from app.jobs.errors import BadInput, DuplicateJobType, UnknownJobType


async def one() -> None:
    """One."""


async def other() -> None:
    """Another."""


def test_types_are_found_counted_and_listed_in_order() -> None:
    registry = Registry()
    registry.add(define(one, {"type": "zebra", "requires_gpu": True}, {}))
    registry.add(define(other, {"type": "ant", "pool": "big"}, {}))
    assert [definition.type for definition in registry] == ["ant", "zebra"]
    assert (len(registry), registry.get("ant").handler, registry.find("bee")) == (2, other, None)
    assert registry.routes() == {"default", "default+gpu", "big"}
    registry.remove("ant")
    registry.remove("ant")
    assert [definition.type for definition in registry] == ["zebra"]


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    registry = Registry()
    registry.add(define(one, {"type": "zebra"}, {}))
    with pytest.raises(UnknownJobType, match=r"^type: no job type is called 'bee'; registered: zebra$"):
        registry.get("bee")
    with pytest.raises(UnknownJobType, match=r"registered: none$"):
        Registry().get("bee")


def test_two_handlers_under_one_name_are_refused_but_the_same_one_may_come_again() -> None:
    registry = Registry()
    registry.add(define(one, {"type": "zebra"}, {}))
    registry.add(define(one, {"type": "zebra", "max_retries": 1}, {}))
    assert registry.get("zebra").options.max_retries == 1
    with pytest.raises(DuplicateJobType, match=r"'zebra' is registered by .*\.one and again by .*\.other; rename one"):
        registry.add(define(other, {"type": "zebra"}, {}))
    assert registry.get("zebra").handler is one


def test_the_process_has_a_registry_of_its_own() -> None:
    @job("registry-test", max_retries=1, timeout_seconds=5, requires_gpu=True)
    async def handler() -> None:
        """For the list."""

    try:
        listed = JobRegistry.list_jobs()["registry-test"]
        assert (listed["max_retries"], listed["timeout_seconds"], listed["enabled"]) == (1, 5, True)
        assert listed["description"] == "For the list."
    finally:
        JobRegistry.registry.remove("registry-test")


# --- JobType -----------------------------------------------------------------------------------------


def test_the_five_types_of_old_are_there() -> None:
    five = [JobType.BACKTEST, JobType.OPTIMIZATION, JobType.SIGNAL_GENERATION, JobType.DATA_REFRESH, JobType.CUSTOM]
    assert five == ["backtest", "optimization", "signal_generation", "data_refresh", "custom"]
    assert set(five) <= set(JobType.get_all_job_types())


def test_registering_a_type_makes_its_name_an_attribute() -> None:
    Registry().add(define(one, {"type": "job-type.test"}, {}))
    assert JobType.JOB_TYPE_TEST == "job-type.test"  # type: ignore[attr-defined]  # set when it was registered
    assert isinstance(JobType("job-type.test"), str)
    assert JobType("job-type.test") in JobType.get_all_job_types()
    assert JobType.get_all_job_types() == sorted(JobType.get_all_job_types())


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UnknownJobType, match=r"no job type is called 'no such type'; registered: .*backtest"):
        JobType("no such type")
    with pytest.raises(BadInput):
        JobType("")


@pytest.mark.parametrize("name", ["declare", "get all job types", "upper", "encode"])
def test_no_name_of_a_type_breaks_the_class(name: str) -> None:
    JobType.declare(name)
    assert callable(JobType.declare)
    assert callable(JobType.get_all_job_types)
    assert "abc".upper() == "ABC"
    assert JobType("custom").upper() == "CUSTOM"


class Later:
    """Registers a type when it is called, and counts how often that is."""

    def __init__(self, registry: Registry) -> None:
        self.called = 0
        self._registry = registry
        registry.load_later(self)

    def __call__(self) -> None:
        self.called += 1
        # Who registers looks around as well.
        assert self._registry.find("nobody's") is None
        self._registry.add(define(other, {"type": "late", "dependencies": ["early"]}, {}))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add(define(one, {"type": "early"}, {}))
    return registry


def test_what_is_there_is_found_without_the_rest(registry: Registry) -> None:
    later = Later(registry)
    assert registry.get("early").handler is one
    assert [each.type for each in registry.known()] == ["early"]
    assert registry.routes() == {"default"}
    assert later.called == 0


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda registry: registry.get("late").type, "late"),
        (lambda registry: registry.find("late").type, "late"),
        (lambda registry: registry.find("never"), None),
        (lambda registry: registry.dependencies("late"), ("early",)),
        (lambda registry: [each.type for each in registry], ["early", "late"]),
        (len, 2),
    ],
    ids=["get", "find", "find what there is not", "dependencies", "list", "count"],
)
def test_who_asks_for_what_is_not_there_or_for_all_gets_the_rest(
    registry: Registry, ask: Callable[[Registry], object], answer: object
) -> None:
    later = Later(registry)
    for _ in range(2):
        assert ask(registry) == answer
    assert later.called == 1
