"""Reading back: whether what is stored is what the operations were to write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain

from pydantic import JsonValue

from app.catalog.apply.journal import Line
from app.catalog.plans.checks import check_finding
from app.catalog.plans.finding import Finding
from app.catalog.plans.operation import Target
from app.catalog.plans.plan import PostCheck
from app.catalog.plans.replay import shown_fields
from app.catalog.store import CatalogStore

Shown = dict[str, JsonValue] | None


async def read_back(catalog: CatalogStore, lines: Sequence[Line], checks: Sequence[PostCheck]) -> list[Finding]:
    """What is not as it should be after the operations of these lines.

    Fields are compared that an operation changed: what somebody else changed of the same record meanwhile is no fault.

    Args:
        catalog: where they were written.
        lines: in the order in which they were applied.
        checks: what the plan says must be true afterwards.
    """
    wanted = _wanted(lines)
    stored = await catalog.read(chain(wanted, (check.target for check in checks)))
    findings: list[Finding] = []
    for target, (operation, fields) in wanted.items():
        found = shown_fields(stored[target].item) if target in stored else None
        findings.extend(_differences(operation, target, fields, found))
    for check in checks:
        finding = check_finding(check, stored[check.target].item if check.target in stored else None)
        if finding is not None:
            findings.append(finding)
    findings.extend(await _doubled_slugs(catalog, lines))
    return findings


def _wanted(lines: Iterable[Line]) -> dict[Target, tuple[str, Shown]]:
    """By target, the last operation that changed it, and the fields that it must have; None if it must be gone."""
    wanted: dict[Target, tuple[str, Shown]] = {}
    for line in lines:
        for target in line.after:
            before, after = shown_fields(line.item_before(target)), shown_fields(line.item_after(target))
            if after is None:
                wanted[target] = (line.operation.id, None)
                continue
            earlier = wanted[target][1] if target in wanted else None
            changed = {
                name: after.get(name)
                for name in (*after, *(before or {}))
                if before is None or before.get(name) != after.get(name)
            }
            wanted[target] = (line.operation.id, {**(earlier or {}), **changed})
    return wanted


def _differences(operation: str, target: Target, wanted: Shown, found: Shown) -> list[Finding]:
    if wanted is None or found is None:
        if wanted is found:
            return []
        there = "is there, and was taken away" if wanted is None else "is not there, and was written"
        return [_mismatch(operation, str(target), f"{target} {there}")]
    return [
        _mismatch(operation, f"{target} {name}", f"{name} of {target} is {found.get(name)!r:.200}, not {value!r:.200}")
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def _mismatch(operation: str, field: str, what: str) -> Finding:
    message = f"{what}; somebody else wrote it meanwhile: look at it, and plan anew"
    return Finding(code="READ_BACK_MISMATCH", operation=operation, field=field, message=message)


async def _doubled_slugs(catalog: CatalogStore, lines: Sequence[Line]) -> list[Finding]:
    """Slugs that operations gave, and that somebody in another family took at the same time."""
    given = {str(line.operation.patch["slug"]): line.operation.id for line in lines if "slug" in line.operation.patch}
    found = await asyncio.gather(*(catalog.with_slug(slug) for slug in given))
    findings = []
    for (slug, operation), holders in zip(given.items(), found, strict=True):
        if len(holders) > 1:
            names = ", ".join(sorted(str(target) for target in holders))
            message = f"{names} have the slug {slug!r}; rename one of them"
            findings.append(Finding(code="SLUG_TAKEN", operation=operation, field="patch.slug", message=message))
    return findings
