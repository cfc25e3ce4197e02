"""API tokens: what programs show to say who they are. The server knows their hashes only."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

PREFIX = "torpor_"
"""Begins every token, so that scanners for lost secrets know one when they see it."""
TOKEN_BYTES = 32
"""Random bytes of a token: nobody guesses them, so a plain hash is enough to keep."""


class Scope(StrEnum):
    """What a caller may do."""

    READ = "read"
    """Look at everything."""
    ENQUEUE = "enqueue"
    """Create and start jobs and batches, and send events."""
    ADMIN = "admin"
    """Everything."""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """What the server knows of a token."""

    name: str
    """Who has it."""
    sha256: str
    """Of the token's text, in hexadecimal digits."""
    scopes: frozenset[Scope]

    def __post_init__(self) -> None:
        if not self.name or not self.scopes:
            raise ValueError("a token has a name and at least one scope; make its entry with `torpor tokens create`")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 of {self.name!r} is no hash; make the entry with `torpor tokens create`")


def new_token(name: str, scopes: frozenset[Scope]) -> tuple[str, TokenEntry]:
    """A token, and what the server is told of it."""
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    return token, TokenEntry(name, hash_of(token), scopes)


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode()).hexdigest()


class Tokens:
    """Finds who has a token.

    Args:
        entries: all that are valid. Taking one out, and starting the server again, revokes it.
    """

    def __init__(self, entries: Sequence[TokenEntry]) -> None:
        self._entries = tuple(entries)

    def find(self, token: str) -> TokenEntry | None:
        """The entry of a token; None if it is none. How long this takes tells nothing about which ones there are."""
        shown = hash_of(token).encode()
        found: TokenEntry | None = None
        for entry in self._entries:
            if hmac.compare_digest(shown, entry.sha256.encode()):
                found = entry
        return found
