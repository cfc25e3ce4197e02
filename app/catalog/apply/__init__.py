"""Writing plans into the catalogue, with a journal, and taking them back."""

from app.catalog.apply.engine import ApplyEngine, ApplyOutcome, ChangeUndone, Commit, PathRefused
from app.catalog.apply.journal import Change, ChangeStatus, Journal, Line, UnknownChange, change_id_of
from app.catalog.apply.records import idempotency_key
from app.catalog.apply.undo import CannotUndo, UndoReport, undo_change

__all__ = [
    "ApplyEngine",
    "ApplyOutcome",
    "CannotUndo",
    "Change",
    "ChangeStatus",
    "ChangeUndone",
    "Commit",
    "Journal",
    "Line",
    "PathRefused",
    "UndoReport",
    "UnknownChange",
    "change_id_of",
    "idempotency_key",
    "undo_change",
]
