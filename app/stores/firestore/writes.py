"""Writes as protobuf messages, and what a Commit answered as versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import Random

from app.stores.base import Delete, Insert, Put, Unit, Update, Verify, Version, Write
from app.stores.checks import checked_unit, checked_units
from app.stores.firestore.names import Names
from app.stores.firestore.values import Message, set_fields, set_version, version_of

STAMP = "stamp"
"""A field of documents, of which records know nothing, that differs from state to state.

Firestore keeps the update time of a document that a write leaves as it was; a second writer who saw the same state
would then win as well. With a stamp every Update and Put makes a new state, as on every other store.
"""
_STAMP_BITS = 64
_plain_id = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:-]{0,199}", re.ASCII).fullmatch
"""Ids about which there is nothing to look up in the rules."""


class Writes:
    """Fills write messages for one environment."""

    def __init__(self, names: Names, randomness: Random) -> None:
        self._names = names
        self._random = randomness

    def fill(self, target: Message, write: Write) -> None:
        """Fill an empty write message.

        Raises:
            TypeError, ValueError: the write is one that no store could keep, as `app.stores.checks` says.
        """
        is_certain = _plain_id(write.id) is not None
        name = self._names.document(write.collection, write.id)
        match write:
            case Update():
                document = target.update
                document.name = name
                is_certain &= set_fields(document.fields, write.collection, write.fields)
                # The state it replaces names the new one: no other state of this document ever replaced the same.
                document.fields[STAMP].string_value = write.version
                # A field that the mask names and the document lacks is removed.
                mask = target.update_mask.field_paths
                mask.extend(write.fields)
                mask.append(STAMP)
                set_version(target.current_document.update_time, write.version)
            case Insert():
                document = target.update
                document.name = name
                is_certain &= set_fields(document.fields, write.collection, write.fields)
                target.current_document.exists = False
            case Verify():
                # An update of no fields checks the precondition and leaves the update time as it is.
                target.update.name = name
                target.update_mask.SetInParent()
                set_version(target.current_document.update_time, write.version)
            case Put():
                document = target.update
                document.name = name
                is_certain &= set_fields(document.fields, write.collection, write.fields)
                document.fields[STAMP].string_value = f"{self._random.getrandbits(_STAMP_BITS):x}"
            case Delete():
                target.delete = name
                if write.version is not None:
                    set_version(target.current_document.update_time, write.version)
        if not is_certain:
            checked_unit((write,))

    def fill_all(self, target: Message, units: Iterable[Unit]) -> None:
        """Fill a request's list of writes with units, one after the other.

        Raises:
            TypeError, ValueError: as `fill`.
        """
        add = target.add
        for unit in units:
            for write in unit:
                self.fill(add(), write)


def check_distinct(units: Sequence[Unit]) -> None:
    """Refuse units that name a record twice.

    Raises:
        ValueError: naming the record.
    """
    named = {(write.collection, write.id) for unit in units for write in unit}
    if len(named) != sum(map(len, units)):
        checked_units(units)


def versions_of(unit: Unit, results: Sequence[Message]) -> list[Version]:
    """The versions that `Store.commit` returns, from the results of the unit's writes."""
    return [_version(write, result) for write, result in zip(unit, results, strict=True)]


def _version(write: Write, result: Message) -> Version:
    if isinstance(write, Delete):
        return ""
    if isinstance(write, Verify):
        return write.version
    return version_of(result.update_time)
