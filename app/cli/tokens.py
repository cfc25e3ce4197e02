"""`torpor tokens`: what programs show to the API."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from app.web.tokens import Scope, new_token

app = typer.Typer(help="Tokens with which programs may call the API.")


@app.callback()
def tokens() -> None:
    """Tokens with which programs may call the API."""


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who is to have it.")],
    scope: Annotated[list[Scope], typer.Option("--scope", "-s", help="What it is for; give it once for each scope.")],
) -> None:
    """Make a token. It is shown once and kept nowhere; the server is given the entry with its hash."""
    if not name.strip():
        raise typer.BadParameter("is empty; say who is to have the token", param_hint="NAME")
    token, entry = new_token(name, frozenset(scope))
    shown = {"name": entry.name, "sha256": entry.sha256, "scopes": sorted(entry.scopes)}
    typer.echo("The token, for the program; it is not shown again:", err=True)
    typer.echo(token)
    typer.echo("Its entry, for the list in TORPOR_API_TOKENS:", err=True)
    typer.echo(json.dumps(shown))
