"""What this process knows about the code that it does not have any more."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from app.jobs.definition import JobDefinition

_SCRIPT = "__main__"


def home_of(definition: JobDefinition) -> str:
    """The module that a handler is in; of a script its file's name too, because every script is called the same."""
    module = str(definition.handler.__module__)
    return f"{_SCRIPT} {_script()}" if module == _SCRIPT else module


def _script() -> str:
    return Path(getattr(sys.modules.get(_SCRIPT), "__file__", None) or "").name


def is_gone(home: str) -> bool:
    """Whether something that is not registered here was taken out of the code, as far as this process can tell.

    It can if it has imported the module that had it, or has the package but no such module. A process that never
    imported the package, or could not import the module, knows nothing of the kind.
    """
    module, _, script = home.partition(" ")
    if module == _SCRIPT:
        return bool(script) and script == _script()
    if module in sys.modules:
        return True
    package = module.rpartition(".")[0]
    if not package or package not in sys.modules:
        return False
    try:
        return find_spec(module) is None
    except (ImportError, AttributeError, ValueError):  # what find_spec raises for a parent that is no package
        return False
