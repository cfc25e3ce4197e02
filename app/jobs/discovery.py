"""Finding job types: every module of the named packages is imported; one that fails does not hide the others."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiscoveryFailure:
    """A module that could not be imported."""

    module: str
    file: str
    """Where the error was raised, as `file:line`; the module's name if there is no such file."""
    error: str


@dataclass(slots=True)
class Discovered:
    """What discovery found."""

    modules: list[str] = field(default_factory=list)
    failures: list[DiscoveryFailure] = field(default_factory=list)


def _failure(module: str, error: BaseException) -> DiscoveryFailure:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    where = f"{own[-1].filename}:{own[-1].lineno}" if own else module
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}"
    return DiscoveryFailure(module, where, f"{type(error).__name__}: {error}")


def discover(packages: Iterable[str], *, look_in: Path | None = None) -> Discovered:
    """Import every module of the packages, sub-packages included.

    Args:
        packages: import names of packages or modules.
        look_in: a folder that is also looked in, such as the current one.

    Returns:
        The modules that were imported, and those that failed, each with file and error.
    """
    found = Discovered()
    if look_in is not None and str(look_in) not in sys.path:
        sys.path.append(str(look_in))
    for name in packages:
        _import(name.strip(), found)
    for failure in found.failures:
        logger.error("task module %s was not loaded: %s (%s)", failure.module, failure.error, failure.file)
    return found


def _import(name: str, found: Discovered) -> None:
    if not name or name in found.modules:
        return
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    # Whatever a user's module raises is reported, a call of sys.exit too, and the rest still loads.
    except BaseException as error:  # noqa: BLE001 - as the line above says
        found.failures.append(_failure(name, error))
        return
    found.modules.append(name)
    for info in pkgutil.iter_modules(getattr(module, "__path__", []), f"{name}."):
        if not info.name.endswith(".__main__"):
            _import(info.name, found)
