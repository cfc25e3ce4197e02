"""Statements: compiled once, and filled in the order of their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from app.stores.base import Value
from app.stores.sql.statements import Statements, among
from app.stores.sql.tables import Naming, build_tables
from tests.unit.stores.sql.times import NOON


def statements(dialect: str) -> Statements:
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[dialect]
    # An engine connects to nothing before it is used.
    return Statements(build_tables(Naming(), dialect), create_engine(f"{driver}://", paramstyle="format").dialect)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
def test_values_go_in_the_order_of_the_text_whatever_the_callers_is(dialect: str) -> None:
    made = statements(dialect)
    for names in (("name", "attempt", "queue"), ("queue", "name", "attempt")):
        statement = made.update("jobs", names)
        places = [statement.text.index(f" {name}=") for name in ("queue", "name", "attempt")]
        in_text = [name for _, name in sorted(zip(places, ("queue", "name", "attempt"), strict=True))]
        values: dict[str, Value] = {"queue": "q", "name": "n", "attempt": 3}
        assert statement.encode(values) == [values[name] for name in in_text]


def test_a_set_of_columns_is_compiled_once() -> None:
    made = statements("sqlite")
    assert made.insert("jobs", ("name",)) is made.insert("jobs", ("name",))
    assert made.insert("jobs", ("name",)) is not made.insert("jobs", ("queue",))


def test_what_has_no_value_stays_without_one() -> None:
    statement = statements("sqlite").update("jobs", ("ready_at", "wake_at", "tags"))
    encoded = statement.encode({"ready_at": None, "wake_at": NOON, "tags": ("a", "b")})
    assert sorted(encoded, key=str) == [1_793_620_800_000_000, None, '["a","b"]']


@given(st.sets(st.text(min_size=1), max_size=70))
def test_ids_are_doubled_up_to_few_lengths(ids: set[str]) -> None:
    padded = among(ids)
    assert set(padded) == ids
    assert list(padded) == sorted(padded)
    assert len(padded) in {0, 1, 2, 4, 8, 16, 32, 64, 128}
