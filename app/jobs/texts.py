"""Text from handlers and their errors, as every store can keep it."""

from __future__ import annotations

MESSAGE_CHARACTERS = 4_000
"""How much of an error's or a progress message is kept."""
LINE_CHARACTERS = 16_000
"""How much of one line of a job's log is kept."""


def tidy(text: str, most: int) -> str:
    """The text with NUL and lone surrogates written out, cut to at most so many characters.

    Some stores refuse both, and all of them a record that is too large. A job must not be kept from ending by
    what its handler says about itself.
    """
    if "\x00" in text or not text.isascii():
        text = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"
