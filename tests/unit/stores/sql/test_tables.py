"""The tables follow the schema, and their indexes the shapes."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.schema import CreateIndex

from app.stores.schema import COLLECTIONS, SHAPES
from app.stores.sql.tables import Naming, build_tables, index_plans

DIALECTS = ("sqlite", "postgresql", "mysql")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_field_has_a_native_column(dialect: str) -> None:
    tables = build_tables(Naming(), dialect)
    assert list(tables) == [collection.name for collection in COLLECTIONS]
    for collection in COLLECTIONS:
        columns = [column.name for column in tables[collection.name].columns if column.computed is None]
        assert columns == ["id", "version", *collection.fields]


def test_a_prefix_stands_before_everything() -> None:
    naming = Naming("staging_")
    tables = build_tables(naming, "postgresql")
    assert tables["jobs"].name == "staging_torpor_jobs"
    for table in tables.values():
        assert table.name.startswith("staging_")
        assert all(str(index.name).startswith(f"ix_{table.name}_") for index in table.indexes)
    assert naming.version_table == "staging_torpor_migrations"
    assert naming.channel == "staging_torpor_claimable"


def test_every_name_fits_where_the_shortest_limit_is_63_characters() -> None:
    tables = build_tables(Naming("x" * 24), "postgresql")
    names = [str(index.name) for table in tables.values() for index in table.indexes]
    assert max(map(len, names)) <= 63
    assert len(set(names)) == len(names)


SORTED_AFTERWARDS = {"jobs.by_priority", "jobs.dependents"}
"""What is asked seldom, or found by its keys: an index for the order would cost each write more than it saves."""


def test_every_shape_but_those_sorted_afterwards_has_an_index_with_its_order() -> None:
    purposes = {(plan.collection, plan.purpose): plan for plan in index_plans()}
    for shape in SHAPES:
        plan = purposes.get((shape.collection, shape.name.partition(".")[2]))
        if shape.name in SORTED_AFTERWARDS:
            assert plan is None
            continue
        assert plan is not None, shape.name
        order = [f"{order.field} DESC" if order.descending else order.field for order in shape.order]
        assert list(plan.columns[-len(order) - 1 :]) == [*order, "id"]


PARTIAL = "(queue, route, shard, priority DESC, ready_at, id) WHERE ready_at IS NOT NULL"


@pytest.mark.parametrize(
    ("dialect", "driver", "columns"),
    [
        ("sqlite", "sqlite", PARTIAL),
        ("postgresql", "postgresql+psycopg", PARTIAL),
        ("mysql", "mysql+pymysql", "(queue, route, shard, ready_rank, ready_at)"),
    ],
)
def test_the_index_of_claims_holds_only_what_can_be_claimed(dialect: str, driver: str, columns: str) -> None:
    table = build_tables(Naming(), dialect)["jobs"]
    (index,) = [index for index in table.indexes if index.name == "ix_torpor_jobs_ready"]
    expected = f"CREATE INDEX ix_torpor_jobs_ready ON torpor_jobs {columns}"
    assert str(CreateIndex(index).compile(dialect=make_url(f"{driver}://").get_dialect()())) == expected
