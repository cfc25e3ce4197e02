"""Middleware that settings name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.bootstrap import make_runtime, middleware_of
from app.jobs import BadInput, LoggingMiddleware
from app.settings import Settings
from app.stores import MemoryJobStore

SHOP = """
from app.jobs import Middleware

class Counts(Middleware):
    pass

class Needs(Middleware):
    def __init__(self, what):
        pass

ready = Counts()
other = 3
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current folder."""
    (tmp_path / "hooked_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "hooked_shop", raising=False)


def named(*names: str) -> Settings:
    return Settings(_env_file=None, middleware=names)


def test_they_are_made_in_their_order_behind_the_log() -> None:
    runtime = make_runtime(named("hooked_shop:Counts", "hooked_shop:ready"), MemoryJobStore())
    assert [type(each).__name__ for each in runtime.hooks.middleware] == ["LoggingMiddleware", "Counts", "Counts"]
    assert [type(each) for each in middleware_of(named())] == [LoggingMiddleware]


def test_the_environment_names_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORPOR_MIDDLEWARE", "hooked_shop:Counts, hooked_shop:ready")
    assert Settings(_env_file=None).middleware == ("hooked_shop:Counts", "hooked_shop:ready")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hooked_shop:Gone", "cannot be imported"),
        ("no_such_module:Counts", "cannot be imported"),
        ("hooked_shop", "cannot be imported"),
        ("", "cannot be imported"),
        ("hooked_shop:Needs", "cannot be made"),
        ("hooked_shop:other", "is no middleware"),
    ],
)
def test_what_is_none_is_refused_by_name(name: str, says: str) -> None:
    with pytest.raises(BadInput, match=f"middleware.*{name}.*{says}"):
        middleware_of(named(name))
