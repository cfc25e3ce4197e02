"""Closing a family whose exercises have all gone to another one."""

from __future__ import annotations

from app.catalog.aliases import alias_id
from app.catalog.plans import (
    Operation,
    Snapshot,
    Touches,
    deprecate_family,
    upsert_alias,
)


def needs_to_close(slug: str) -> Touches:
    """What has to be read before a family can be closed: the aliases that lead to it, and its own."""
    return Touches.of(aliases=[alias_id(slug, family=True)], aliases_of=[slug])


def close_family(snapshot: Snapshot, slug: str, target: str, *, rationale: str) -> list[Operation]:
    """The family is closed, and its slug and what led to it lead to another one.

    Args:
        snapshot: with what `needs_to_close` asks for.
        slug: the family that has no active exercise left.
        target: where they went.
        rationale: why.
    """
    leading = [alias for alias in snapshot.aliases.values() if alias.family_slug == slug and alias.slug != target]
    old = [alias.slug for alias in sorted(leading, key=lambda alias: alias.id)]
    return [
        deprecate_family(slug, merged_into=target, rationale=rationale),
        *(
            upsert_alias(each, family_slug=target, reason=reason, rationale=f"{each} leads to where {slug} went")
            for each, reason in ((slug, "family"), *((each, "family") for each in old))
        ),
    ]
