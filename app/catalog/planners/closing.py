"""Closing a family whose exercises have all gone to another one."""

from __future__ import annotations

from app.catalog.plans import Operation, Snapshot, deprecate_family, upsert_alias


def close_family(snapshot: Snapshot, slug: str, target: str, *, rationale: str) -> list[Operation]:
    """The family is closed, and its slug and what led to it lead to another one.

    Args:
        snapshot: has read the family, and with it what leads to it.
        slug: the family that has no active exercise left.
        target: where they went.
        rationale: why.
    """
    leading = [alias.slug for alias in snapshot.aliases.values() if alias.family_slug == slug and alias.slug != target]
    why = f"it leads to where {slug} went"
    return [
        deprecate_family(slug, merged_into=target, rationale=rationale),
        *(
            upsert_alias(each, family_slug=target, reason="family", rationale=why)
            for each in (slug, *sorted(set(leading) - {slug}))
        ),
    ]
