"""Taking a change back: every record as it was before, byte for byte, the last operation first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.catalog.apply.journal import Change, ChangeStatus, Journal, Line
from app.catalog.documents import Document, read_text, write_of
from app.catalog.errors import CatalogError
from app.catalog.exercise import Exercise
from app.catalog.plans.operation import Target, TargetKind
from app.catalog.plans.replay import shown_fields
from app.catalog.store import CatalogStore
from app.jobs import AsyncJobManager, JobNotFound
from app.stores.base import OutcomeUnknown, PreconditionFailed

MAX_REFUSED = 5
"""How often one line is tried because its commit was refused or its answer was lost."""
LOOKED_AT = 100
"""How many newer changes are searched for the one that is in the way."""


class CannotUndo(CatalogError):
    """A change that can't be taken back as things are. `problems` names all that is in the way."""

    SHOWN = 10

    def __init__(self, change_id: str, problems: Sequence[str]) -> None:
        self.change_id = change_id
        self.problems = tuple(problems)
        more = len(self.problems) - self.SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        shown = "\n".join(f"  {problem}" for problem in self.problems[: self.SHOWN])
        super().__init__(f"nothing was undone, change {change_id} can't be taken back:\n{shown}{rest}")


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What was taken back, or would be."""

    change: Change
    dry_run: bool
    lines: tuple[Line, ...]
    """The operations, the last one first; those that an earlier, interrupted undo took back are not among them."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every record that is restored, taken away or brought back, each once."""
        return tuple(dict.fromkeys(target for line in self.lines for target in line.before))


async def undo_change(manager: AsyncJobManager, change_id: str, *, by: str, dry_run: bool = True) -> UndoReport:
    """Take a change back: creates, merges and moves between families included.

    Everything is checked first. Then each operation is one commit with the mark on its line, so an undo that was
    interrupted goes on where it stopped when it is called again.

    Args:
        manager: of the engine whose store has the catalogue.
        change_id: which.
        by: who wants it; kept with the change.
        dry_run: only say what would be done.

    Raises:
        UnknownChange: there is none of that id.
        CannotUndo: it was undone already, its job still runs, or a record was changed since: each is named.
        StoreError: the store could not be asked; calling it again goes on.
    """
    store, now = manager.runtime.store, manager.runtime.clock.now
    catalog, journal = CatalogStore(store), Journal(store)
    stored = await journal.change(change_id)
    change = stored.change
    if change.status is ChangeStatus.UNDONE:
        raise CannotUndo(change_id, [f"it was undone already, by {change.undone_by or 'nobody known'}"])
    await _check_job_ended(manager, change)
    lines = [line for line in reversed(await journal.lines(change_id)) if line.undone_at is None]
    problems = await _problems(catalog, journal, change, lines)
    if problems:
        raise CannotUndo(change_id, problems)
    report = UndoReport(change, dry_run, tuple(lines))
    if dry_run:
        return report
    for line in lines:
        await _undo_line(manager, catalog, journal, line)
    fields = {"status": ChangeStatus.UNDONE, "undone_at": now(), "undone_by": by}
    for _ in range(MAX_REFUSED):
        try:
            await store.commit([journal.moved_on(stored, stored.change.model_copy(update=fields))])
            break
        except (PreconditionFailed, OutcomeUnknown):
            stored = await journal.change(change_id)
            if stored.change.status is ChangeStatus.UNDONE:
                break
    else:
        raise CannotUndo(
            change_id, ["its record changed under every try; the catalogue is as it was before the change"]
        )
    return report


async def _check_job_ended(manager: AsyncJobManager, change: Change) -> None:
    try:
        job = await manager.get_job(change.job_id)
    except JobNotFound:
        return
    if not job.is_terminal:
        raise CannotUndo(change.id, [f"its job {job.id} is {job.status}; wait for its end, or cancel it"])


async def _problems(catalog: CatalogStore, journal: Journal, change: Change, lines: Sequence[Line]) -> list[str]:
    """What is in the way, by name."""
    stored = await catalog.read(target for line in lines for target in line.after)
    state: dict[Target, str | None] = {target: document.text for target, document in stored.items()}
    changed: dict[Target, str] = {}
    for line in lines:
        for target, text in line.after.items():
            if target not in changed and state.get(target) != text:
                changed[target] = _difference(target, text, state.get(target))
            state[target] = line.before[target]
    since = await _changed_by(journal, change, changed)
    problems = [f"{target} {what}{since.get(target, '')}" for target, what in changed.items()]
    return [*problems, *await _left_behind(catalog, stored, state)]


def _difference(target: Target, expected: str | None, found: str | None) -> str:
    if expected is None or found is None:
        return "is there again" if expected is None else "is not there any more"
    before, after = (shown_fields(read_text(target.kind, text)[0]) or {} for text in (expected, found))
    names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
    return f"was changed since, in {', '.join(names) or 'its times'}"


async def _changed_by(journal: Journal, change: Change, changed: Mapping[Target, str]) -> dict[Target, str]:
    """By target, which newer change wrote it."""
    if not changed:
        return {}
    found: dict[Target, str] = {}
    for newer in await journal.changes(since=change.made_at, limit=LOOKED_AT):
        if newer.id == change.id or newer.status is ChangeStatus.UNDONE:
            continue
        for line in await journal.lines(newer.id):
            for target in line.after:
                if target in changed and line.undone_at is None:
                    found.setdefault(target, f", by change {newer.id}; undo that one first")
    return found


async def _left_behind(
    catalog: CatalogStore, stored: Mapping[Target, Document], state: Mapping[Target, str | None]
) -> list[str]:
    """What would lead nowhere, or double a slug, if the records were in this state."""
    problems: list[str] = []
    for target, text in state.items():
        if target.kind is not TargetKind.EXERCISE:
            continue
        if text is None:
            problems += [
                f"{alias} leads to {target}, which would be taken away; take the alias away first"
                for alias in await catalog.aliases_to(target)
                if alias not in state
            ]
            continue
        exercise, now = read_text(target.kind, text)[0], stored[target].item if target in stored else None
        if not isinstance(exercise, Exercise) or (isinstance(now, Exercise) and now.slug == exercise.slug):
            continue
        problems += [
            f"{other} has the slug {exercise.slug!r} by now, which {target} would get back; rename it first"
            for other in await catalog.with_slug(exercise.slug)
            if other not in state
        ]
    return problems


async def _undo_line(manager: AsyncJobManager, catalog: CatalogStore, journal: Journal, line: Line) -> None:
    store, now = manager.runtime.store, manager.runtime.clock.now
    for _ in range(MAX_REFUSED):
        found = await catalog.read(line.after)
        _check_unchanged(line, found)
        writes = [
            write_of(target, found.get(target), text)
            for target, text in line.before.items()
            if target in found or text is not None
        ]
        try:
            await store.commit([*writes, journal.undone(line, now())])
            return
        except (PreconditionFailed, OutcomeUnknown):
            fresh = await journal.line(line.key)
            if fresh is None or fresh.undone_at is not None:
                return  # it was done, by us unheard or by somebody else who undoes the same change
            line = fresh
    raise CannotUndo(line.change_id, [f"the records of {line.operation.id} changed under every try; try it again"])


def _check_unchanged(line: Line, found: Mapping[Target, Document]) -> None:
    problems = []
    for target, text in line.after.items():
        there = found[target].text if target in found else None
        if there != text:
            problems.append(f"{target} {_difference(target, text, there)}")
    if problems:
        raise CannotUndo(
            line.change_id, [*problems, "operations after it were undone; undo it again when that is mended"]
        )


def told(report: UndoReport) -> Iterable[str]:
    """What an undo does, a line each, for people."""
    for line in report.lines:
        names = ", ".join(str(target) for target in line.before) or "nothing"
        yield f"{line.operation.id} {line.operation.kind}: {names}"
