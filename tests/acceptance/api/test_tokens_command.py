"""`torpor tokens create`: a token that the server takes, shown once."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from app.cli.root import app
from app.settings import Settings
from app.web.tokens import Scope, Tokens


def test_the_entry_is_that_of_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(app, ["tokens", "create", "ci", "--scope", "read", "--scope", "enqueue"])
    assert said.exit_code == 0, said.output
    token, entry = said.stdout.splitlines()

    monkeypatch.setenv("TORPOR_API_TOKENS", f"[{entry}]")
    found = Tokens(Settings().api_tokens or ()).find(token)

    assert found is not None
    assert (found.name, found.scopes) == ("ci", {Scope.READ, Scope.ENQUEUE})
    assert token not in entry
    assert json.loads(entry)["scopes"] == ["enqueue", "read"]


@pytest.mark.parametrize("wrong", [["ci"], ["ci", "--scope", "all"], [" ", "--scope", "read"]])
def test_what_makes_no_token(wrong: list[str]) -> None:
    said = CliRunner().invoke(app, ["tokens", "create", *wrong])
    assert said.exit_code == 2
    assert "torpor_" not in said.stdout
