"""Keeps passwords out of what the command prints, whoever put them into a message."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

HIDDEN = "***"
_USER_INFO = re.compile(r"://[^\s/@]*:[^\s]*@")
_PARAMETER = re.compile(r"(\w*pass\w*)=[^\s&]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """The text without the passwords of any address in it, and without those of the settings."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _PARAMETER.sub(rf"\1={HIDDEN}", _USER_INFO.sub(f"://{HIDDEN}@", text))


def shown_url(url: str) -> str:
    """A store's address without user, password and parameters."""
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    return scheme + mark + rest.rpartition("@")[2].partition("?")[0]


def _secrets() -> Iterator[str]:
    from app.settings import settings

    password = settings.storage.database.password
    if password is not None:
        yield from _forms(password.get_secret_value())
    rest = (settings.store_url or "").partition("://")[2]
    yield from _forms(rest.rpartition("@")[0].partition(":")[2])
    for name, value in parse_qsl(rest.partition("?")[2]):
        if "pass" in name.lower():
            yield from _forms(value)


def _forms(secret: str) -> set[str]:
    """A password as it was written and as it is meant. One or two letters are no secret, and are in every text."""
    return {form for form in (secret, unquote(secret)) if len(form) > 2}


class HideSecrets(logging.Filter):
    """Takes passwords out of log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it through."""
        record.msg = without_secrets(record.getMessage())
        record.args = ()
        return True
