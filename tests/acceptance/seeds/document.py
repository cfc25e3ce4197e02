"""Reads the code out of a seed document, with its import lines turned to this project's modules."""

from __future__ import annotations

import re
from pathlib import Path

LANGUAGES = ("python", "bash")
"""Fences of other languages hold diagrams and folder listings."""

MODULES = {
    "openagents_json": "app.jobs",
    "openagents_json.job": "app.jobs",
    "openagents_json.job.manager": "app.jobs",
    "openagents_json.job.model": "app.jobs",
    "openagents_json.job.storage": "app.stores",
    "openagents_json.settings": "app.settings",
    "..base": "app.jobs",
    "..decorators": "app.jobs",
}
"""Where the names of the documents' modules come from here."""

_FENCE = re.compile(rf"^```(?:{'|'.join(LANGUAGES)})\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IMPORT = re.compile(r"^from (\S+) import ", re.MULTILINE)


def adapted(code: str) -> str:
    """The code with the modules of its import lines replaced, and nothing else changed."""
    return _IMPORT.sub(lambda line: f"from {MODULES.get(line[1], line[1])} import ", code)


def samples_in(document: Path) -> dict[str, str]:
    """The document's code by the number that its stored sample's name begins with, such as `001_02`."""
    seed = document.name.partition("_")[0]
    fences = _FENCE.finditer(document.read_text(encoding="utf-8"))
    return {f"{seed}_{number:02}": adapted(fence[1]) for number, fence in enumerate(fences, 1)}
