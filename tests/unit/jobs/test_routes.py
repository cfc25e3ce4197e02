"""Routes: the canonical text of pool and flags, and who serves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.errors import BadInput
from app.jobs.routes import Served, route_of

FLAGS = st.sets(st.sampled_from(["wallet", "gpu", "twitter", "llm.big", "a_b", "c-d"]))


@pytest.mark.parametrize(
    ("pool", "requires", "route"),
    [
        ("default", (), "default"),
        ("Big", ("GPU",), "big+gpu"),
        ("default", ("wallet", "gpu", "wallet"), "default+gpu+wallet"),
        ("eu.west-1", ("a_b",), "eu.west-1+a_b"),
    ],
)
def test_canonical_text(pool: str, requires: tuple[str, ...], route: str) -> None:
    assert route_of(pool, requires) == route


@pytest.mark.parametrize(
    ("pool", "requires", "field"),
    [("", (), "pool"), ("a b", (), "pool"), ("a+b", (), "pool"), ("a", ("x/y",), "requires")],
)
def test_other_characters_are_refused(pool: str, requires: tuple[str, ...], field: str) -> None:
    with pytest.raises(BadInput, match=rf"^{field}: .* is not a name; use letters"):
        route_of(pool, requires)


@pytest.mark.parametrize(
    ("route", "pools", "flags", "serves"),
    [
        ("default", {"default"}, None, True),
        ("default+gpu+wallet", {"default"}, None, True),
        ("default+gpu", {"default"}, {"gpu", "wallet"}, True),
        ("default+gpu+wallet", {"default"}, {"gpu"}, False),
        ("default+gpu", {"default"}, set(), False),
        ("default", {"default"}, set(), True),
        ("big", {"default"}, None, False),
        ("big", {"default", "big"}, set(), True),
        ("defaults", {"default"}, None, False),
    ],
)
def test_who_serves_a_route(route: str, pools: set[str], flags: set[str] | None, serves: bool) -> None:
    served = Served(frozenset(pools), None if flags is None else frozenset(flags))
    assert served.serves(route) is serves
    assert served.among([route, route]) == ((route,) if serves else ())


@given(FLAGS, FLAGS)
def test_a_worker_serves_exactly_what_asks_for_no_more_than_it_has(required: set[str], has: set[str]) -> None:
    assert Served(flags=frozenset(has)).serves(route_of(requires=required)) == (required <= has)


@given(st.lists(st.sampled_from(["A", "b", "C", "b"])))
def test_the_order_of_flags_never_matters(flags: list[str]) -> None:
    assert route_of(requires=flags) == route_of(requires=sorted(flags, reverse=True))
