"""That terraform/firestore.tf names every field and index that the schema needs, and how it is read for that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import pytest

from app.stores.base import Kind, Query, Shape, Value
from app.stores.evaluate import question
from app.stores.firestore.indexes import Need, need_of
from app.stores.firestore.names import Names
from app.stores.firestore.queries import READY, Queries
from app.stores.firestore.writes import STAMP
from app.stores.schema import COLLECTIONS, SHAPE_BY_NAME, SHAPES
from tests.plugins.firestore_indexes import TERRAFORM, complaints, declared_indexes, line_of

EXPIRES_AT = "expire_at"
QUERIES = Queries(Names("p", "(default)", ""))
LEASED = SHAPE_BY_NAME["jobs.leased"]
SELDOM_WRITTEN = {"exercise_aliases", "exercise_families", "catalog_changes", "catalog_lines"}
"""Collections of which only long texts are exempt: settings are few, and their other indexes cost next to nothing."""
MOST_SETTINGS = 200
"""Of single fields in one database; https://firebase.google.com/docs/firestore/quotas#indexes"""


@pytest.fixture(scope="module")
def terraform(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / TERRAFORM).read_text(encoding="utf-8")


def test_every_field_is_sorted_or_exempt_or_expires(terraform: str) -> None:
    sorted_alone = {
        (each.collection, each.fields[0].path) for each in declared_indexes(terraform) if len(each.fields) == 1
    }
    for collection in COLLECTIONS:
        exempt = _listed(terraform, f"    {collection.name} = [", "    ]")
        if collection.name in SELDOM_WRITTEN:
            assert exempt == [field for field, kind in collection.fields.items() if kind is Kind.TEXT]
            continue
        fields = {field for field in collection.fields if (collection.name, field) not in sorted_alone}
        assert sorted(exempt) == sorted({*fields, STAMP} - {EXPIRES_AT}), collection.name


def test_there_are_no_more_settings_of_fields_than_a_database_takes(terraform: str) -> None:
    exempt = [_listed(terraform, f"    {collection.name} = [", "    ]") for collection in COLLECTIONS]
    alone = {(each.collection, each.fields[0].path) for each in declared_indexes(terraform) if len(each.fields) == 1}
    expiring = _listed(terraform, "  firestore_expiring = [", "]")
    assert sum(map(len, exempt)) + len(alone) + len(expiring) <= MOST_SETTINGS


def test_what_can_expire_does(terraform: str) -> None:
    expiring = _listed(terraform, "  firestore_expiring = [", "]")
    assert sorted(expiring) == sorted(each.name for each in COLLECTIONS if EXPIRES_AT in each.fields)


def test_every_declared_shape_is_served_and_no_index_is_left_over(terraform: str) -> None:
    needs = {*chain.from_iterable(map(_needs, SHAPES)), need_of(QUERIES.newest_ready())}
    assert complaints(needs, declared_indexes(terraform)) == []


def test_a_missing_and_a_useless_index_are_named_as_the_file_would_have_them(terraform: str) -> None:
    declared = declared_indexes(terraform)
    needs = set(_needs(LEASED))
    (leased,) = (need.index for need in needs)
    assert complaints(needs, frozenset()) == [f"a query needs, add: {line_of(leased)}"]
    assert line_of(leased) == '{ collection = "jobs", field = "lease_expires_at", orders = ["ASCENDING"] },'
    useless = complaints(needs, declared)
    assert len(useless) == len(declared) - 1
    for complaint in useless:
        line = complaint.removeprefix("no query needs, remove: ")
        # A field that is sorted in both directions has one line for two indexes.
        assert line in terraform or "orders" in line
        assert declared_indexes(f"    {line}\n") <= declared


def _needs(shape: Shape) -> Iterator[Need]:
    """What the questions of a shape need, with each filter that may be left out alone."""
    if shape is READY:
        yield need_of(QUERIES.ready("priority", ("a", "b"), (0,), 20))
        return
    always: dict[str, Value] = dict.fromkeys(shape.equal, "x")
    choices: list[dict[str, Value]] = [{}]
    choices.extend({name: "x"} for name in shape.optional)
    if shape.contains:
        choices.append({shape.contains: ("x",)})
    for choice in choices:
        for reverse in (False, True) if shape.reversible else (False,):
            query = Query(shape.name, always | choice, reverse=reverse)
            yield need_of(QUERIES.ask(question(query), limit=10))


def _listed(terraform: str, start: str, end: str) -> list[str]:
    begin = terraform.index(start) + len(start)
    return re.findall(r'"(\w+)"', terraform[begin : terraform.index(end, begin)])
