"""A cursor gives back what it was made of, and nothing else is taken for one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.stores import cursor
from app.stores.base import Value

_values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(),
    st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis takes naive bounds
)


@given(st.lists(_values, max_size=3), st.text())
def test_what_was_encoded_is_decoded(values: list[Value], record_id: str) -> None:
    text = cursor.encode(values, record_id)
    decoded, decoded_id = cursor.decode(text)
    assert (list(decoded), decoded_id) == (values, record_id)
    assert [type(value) for value in decoded] == [type(value) for value in values]


@given(st.lists(_values, max_size=3), st.text())
def test_a_cursor_is_safe_in_a_url(values: list[Value], record_id: str) -> None:
    text = cursor.encode(values, record_id)
    assert text.isascii()
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "\u00e4",
        "W10",  # []
        "MQ",  # 1
        "W1tdLDFd",  # [[],1]
        "W3t9LCJhIl0",  # [{},"a"]
        "W1tudWxsXSwiYSJd",  # [[null],"a"]
        "W1t7InQiOjEuNX1dLCJhIl0",  # [[{"t":1.5}],"a"]
        "W1t7InQiOjFlOTl9XSwiYSJd",  # [[{"t":1e99}],"a"]
        "W1t7InQiOjk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OX1dLCJhIl0",  # a time after the year 9999
        "W1t7IngiOjF9XSwiYSJd",  # [[{"x":1}],"a"]
        "W1t7fV0sImEiXQ",  # [[{}],"a"]
    ],
)
def test_nonsense_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="is no cursor; pass on what the page before gave"):
        cursor.decode(text)


@given(st.text())
@example("W1s" * 5000)
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        values, record_id = cursor.decode(text)
    except ValueError:
        return
    assert isinstance(record_id, str)
    assert isinstance(values, tuple)


@pytest.mark.parametrize("value", [None, ("a",)])
def test_what_nothing_is_ordered_by_makes_no_cursor(value: Value) -> None:
    with pytest.raises(TypeError, match="nothing is ordered by"):
        cursor.encode([value], "a")
