"""Jobs that scans propose: what they are known by, and in which order they go.

Nothing is created by proposing. The same proposal made of the same state has the same key, so a second scan that finds
nothing new creates nothing new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_ORDER = (
    ("catalog_enrich_field", "schema_cleanup"),
    ("targeted_fix",),
    ("merge_candidate", "family_merge"),
    ("family_normalize",),
    ("alias_repair",),
    ("family_audit",),
)
"""Values first, then what exercises are, then which of them are the same; names follow from all of that."""
_STEP = {job_type: number for number, types in enumerate(_ORDER) for job_type in types}


@dataclass(frozen=True, slots=True)
class ProposedJob:
    """A job that would mend or look into findings. Nothing is created by proposing it."""

    type: str
    payload: dict[str, object]
    reason: str
    families: tuple[str, ...] = ()
    """What it is about: of two proposals for one family the one of the earlier step goes first."""
    state: str = ""
    """What it was made of besides its payload. Seen again with the same, it is the same proposal."""
    identity: tuple[str, ...] = ()
    """What it is known by instead of its payload, where that holds more than the proposal is about."""

    def key(self, mode: str) -> str:
        """The idempotency key of its job.

        Args:
            mode: a job that applied nothing does not stand in the way of one that does.
        """
        told = list(self.identity) or self.payload
        text = json.dumps([self.type, told, self.state], sort_keys=True, ensure_ascii=True)
        return f"catalog/{mode}/{self.type}/{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    @property
    def waits_for_a_person(self) -> bool:
        """Whether its job ends in a question, so that nothing else should wait for it."""
        return bool(self.payload.get("needs_review"))


def state_of(parts: Iterable[object]) -> str:
    """A short text that differs when any of `parts` does."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]


def in_order(proposals: Iterable[ProposedJob]) -> list[ProposedJob]:
    """Each proposal once, those of an earlier step first, otherwise as they were given.

    Raises:
        KeyError: a job of that type is never proposed.
    """
    unique: dict[str, ProposedJob] = {}
    for proposal in proposals:
        unique.setdefault(proposal.key(""), proposal)
    return sorted(unique.values(), key=lambda proposal: _STEP[proposal.type])


def waits_for(proposals: Sequence[ProposedJob]) -> list[tuple[int, ...]]:
    """For each of `proposals`, as `in_order` gives them, the places of those that have to end before it.

    Those are the ones of the nearest earlier step with a family in common; they wait for the ones before them.
    """
    latest: dict[str, tuple[int, tuple[int, ...]]] = {}
    """By family: the step that was last seen, and its proposals."""
    before: dict[str, tuple[int, ...]] = {}
    """By family: the proposals of the step before that."""
    found: list[tuple[int, ...]] = []
    for place, proposal in enumerate(proposals):
        step = _STEP[proposal.type]
        parents: set[int] = set()
        for family in proposal.families:
            seen, places = latest.get(family, (step, ()))
            parents.update(places if seen < step else before.get(family, ()))
        found.append(tuple(sorted(parents)))
        if proposal.waits_for_a_person:
            continue
        for family in dict.fromkeys(proposal.families):
            seen, places = latest.get(family, (step, ()))
            if seen < step:
                before[family] = places
                latest[family] = (step, (place,))
            else:
                latest[family] = (step, (*places, place))
    return found
