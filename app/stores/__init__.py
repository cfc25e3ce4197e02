"""Stores by name; each is imported only when it is asked for, so that a cold start pays for one of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from app.stores.base import Store

if TYPE_CHECKING:
    from app.stores.file import FileJobStore as FileJobStore
    from app.stores.firestore import FirestoreJobStore as FirestoreJobStore
    from app.stores.memory import MemoryJobStore as MemoryJobStore
    from app.stores.sql import DatabaseJobStore as DatabaseJobStore

_MODULES = {
    "DatabaseJobStore": "app.stores.sql",
    "FileJobStore": "app.stores.file",
    "FirestoreJobStore": "app.stores.firestore",
    "MemoryJobStore": "app.stores.memory",
}

__all__ = ["DatabaseJobStore", "FileJobStore", "FirestoreJobStore", "MemoryJobStore"]

JobStore: TypeAlias = Store
"""The protocol under the name that goes with the stores' own names, for those who write a store of their own."""


if not TYPE_CHECKING:
    # Hidden from the type checker, which would take every misspelt name for something found here.
    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}")
        return getattr(import_module(module), name)
