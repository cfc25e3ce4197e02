"""The one writer of the catalogue's plans: each operation is in one commit with its line in the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.catalog.apply.journal import Change, ChangeStatus, Journal, Line, StoredChange
from app.catalog.apply.records import idempotency_key
from app.catalog.apply.verify import read_back
from app.catalog.documents import COLLECTIONS, Document, text_of, write_of
from app.catalog.errors import CatalogError
from app.catalog.exercise import Exercise
from app.catalog.plans.finding import Finding
from app.catalog.plans.operation import MAX_TARGETS, Operation, OperationKind, Target, alias_target, exercise_target
from app.catalog.plans.paths import refused_paths
from app.catalog.plans.plan import ChangePlan
from app.catalog.plans.replay import CannotReplay, replay, shown_fields
from app.catalog.plans.snapshot import Item, Snapshot, touched_by
from app.catalog.store import CatalogStore, snapshot_of, still_enriched
from app.jobs import PermanentError
from app.stores.base import PreconditionFailed, RecordTooLarge, Verify, Write

MAX_REFUSED = 5
"""How often one operation is tried because somebody else changed a record of it between reading and writing."""

TOGETHER = 20
"""Operations that share a commit at most, each still with its own line: both are there, or neither."""
MAX_RECORDS = 100
"""Records that operations of one commit may touch; with their lines far from what any store takes at once."""

Commit = Callable[[Sequence[Write]], Awaitable[None]]
"""Writes records in one commit, all or nothing, for one holder only: a job's `ctx.commit`."""
Pause = Callable[[int, int], Awaitable[None]]
"""Told how many operations of how many are done; may end the attempt by raising."""


class PathRefused(CatalogError, PermanentError):
    """A plan that writes what no operation of its kind may write. Nothing of it was applied."""

    code = "PATH_NOT_WRITABLE"

    def __init__(self, refused: Mapping[str, Sequence[str]]) -> None:
        self.refused = refused
        told = "; ".join(f"{operation}: {', '.join(paths)}" for operation, paths in refused.items())
        super().__init__(f"nothing was applied, the plan writes paths that it may not: {told}; leave them out")


class ChangeUndone(CatalogError, PermanentError):
    """A change that was undone is not applied again."""

    code = "CHANGE_UNDONE"

    def __init__(self, change_id: str) -> None:
        super().__init__(f"change {change_id} was undone; run a new job, which plans anew")


@dataclass(frozen=True, slots=True)
class ApplyOutcome:
    """What applying came to."""

    change_id: str
    status: ChangeStatus
    """`applied` or `needs_repair`."""
    applied: int
    """Operations that have been applied, by this attempt and earlier ones."""
    left: tuple[str, ...] = ()
    """The ids of the operations that have not been applied."""
    findings: tuple[Finding, ...] = ()
    """Why it needs repair."""


class _Failed(Exception):
    """An operation that cannot be applied."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))


class ApplyEngine:
    """Applies plans.

    Args:
        catalog: what is read.
        journal: where changes and their lines are kept.
        commit: how everything is written.
    """

    def __init__(self, catalog: CatalogStore, journal: Journal, commit: Commit) -> None:
        self._catalog = catalog
        self._journal = journal
        self._commit = commit

    async def apply(self, plan: ChangePlan, change_id: str, pause: Pause) -> ApplyOutcome:
        """Apply a plan, or what is left of it, and read it back.

        All paths are checked before anything is written. Then each operation is committed: its records, each only if
        it is still as it was read, together with its line; neighbours that touch different records share a commit.
        The first operation that fails ends it; what was applied stays, and is not applied again when this is called
        once more.

        Args:
            plan: with `made_at`, as it was judged.
            change_id: see `change_id_of`.
            pause: called between operations.

        Raises:
            PathRefused: a path is not writable.
            ChangeUndone: somebody has undone it.
            LeaseLost: the job is somebody else's.
            StoreError: the store could not be asked; calling it again goes on.
        """
        refused = {operation.id: paths for operation in plan.operations if (paths := refused_paths(operation))}
        if refused:
            raise PathRefused(refused)
        at = plan.made_at
        if at is None:
            raise ValueError("made_at: the plan has no time; fill it in before it is applied")
        change = await self._begin(plan, change_id, at)
        lines = await self._journal.lines(change_id)
        if change.change.status is ChangeStatus.UNDONE or any(line.undone_at for line in lines):
            raise ChangeUndone(change_id)
        done = {line.key for line in lines}
        left = [each for each in plan.operations if idempotency_key(change_id, each) not in done]
        findings: list[Finding] = []
        while left and not findings:
            await pause(len(plan.operations) - len(left), len(plan.operations))
            some = _together(left)
            done_now = await self._apply_some(change_id, len(lines) + 1, some, at) if len(some) > 1 else []
            if not done_now:
                try:
                    done_now = [await self._apply_one(change_id, len(lines) + 1, left[0], at)]
                except _Failed as failed:
                    findings.append(failed.finding)
            lines += done_now
            del left[: len(done_now)]
        await pause(len(plan.operations) - len(left), len(plan.operations))
        if not findings:
            findings = await read_back(self._catalog, lines, plan.post_checks)
        after = await self._end(change, len(lines), len(left), findings)
        names = tuple(operation.id for operation in left)
        return ApplyOutcome(change_id, after.status, len(lines), names, tuple(findings))

    async def _begin(self, plan: ChangePlan, change_id: str, at: datetime) -> StoredChange:
        found = await self._journal.find(change_id)
        told = {"scope": plan.scope, "plan_version": plan.version, "operations": len(plan.operations)}
        if found is None:
            change = Change(id=change_id, job_id=plan.job_id, type=plan.type, risk=plan.risk, made_at=at)
            await self._commit([self._journal.begun(change.model_copy(update=told))])
        elif found.change.status is not ChangeStatus.UNDONE and found.change.plan_version != plan.version:
            told["operations"] = found.change.applied + len(plan.operations)
            update = {**told, "status": ChangeStatus.APPLYING, "problem": ""}
            await self._commit([self._journal.moved_on(found, found.change.model_copy(update=update))])
        else:
            return found
        return await self._journal.change(change_id)

    async def _apply_some(
        self, change_id: str, number: int, operations: Sequence[Operation], at: datetime
    ) -> list[Line]:
        """Apply several operations that touch different records in one commit; none, if anything is in the way."""
        documents = await self._catalog.read(target for each in operations for target in _looked_at(each))
        lines: list[Line] = []
        writes: list[Write] = []
        for place, operation in enumerate(operations):
            own = {target: documents[target] for target in _looked_at(operation) if target in documents}
            key = idempotency_key(change_id, operation)
            try:
                line, more = prepare(own, operation, at, change_id=change_id, key=key, number=number + place)
            except _Failed:
                return []
            lines.append(line)
            writes += [*more, self._journal.written(line)]
        try:
            await self._commit(writes)
        except (PreconditionFailed, RecordTooLarge):
            return []
        return lines

    async def _apply_one(self, change_id: str, number: int, operation: Operation, at: datetime) -> Line:
        key = idempotency_key(change_id, operation)
        for _ in range(MAX_REFUSED):
            documents = await self._read(operation)
            line, writes = prepare(documents, operation, at, change_id=change_id, key=key, number=number)
            try:
                await self._commit([*writes, self._journal.written(line)])
            except PreconditionFailed:
                continue
            except RecordTooLarge as problem:
                message = f"{problem}; split the operation, or shorten what it writes"
                raise _failed(operation, "OPERATION_TOO_LARGE", "targets", message) from problem
            return line
        message = f"its records changed under each of {MAX_REFUSED} tries; run it again when they are left alone"
        raise _failed(operation, "CONTENDED", "targets", message)

    async def _read(self, operation: Operation) -> dict[Target, Document]:
        found = await self._catalog.read(_looked_at(operation))
        for each in sorted(touched_by(operation).aliases_of):
            found |= await self._catalog.aliases_to(exercise_target(each))
        return found

    async def _end(self, before: StoredChange, applied: int, left: int, findings: Sequence[Finding]) -> Change:
        status = ChangeStatus.NEEDS_REPAIR if findings else ChangeStatus.APPLIED
        problem = "; ".join(str(finding) for finding in findings)[:4_000]
        told = {"status": status, "operations": applied + left, "applied": applied, "problem": problem}
        after = before.change.model_copy(update=told)
        if after != before.change:
            await self._commit([self._journal.moved_on(before, after)])
        return after


def _looked_at(operation: Operation) -> tuple[Target, ...]:
    """The records that an operation has to know, by kind and id."""
    slugs = sorted(touched_by(operation).slugs)
    return tuple(dict.fromkeys((*operation.targets, *map(alias_target, slugs))))


def _together(operations: Sequence[Operation]) -> list[Operation]:
    """The first of the operations that can share a commit: they know nothing of each other's records.

    A merge asks for aliases that it may not know by name, so it goes alone.
    """
    taken: set[Target] = set()
    some: list[Operation] = []
    for operation in operations[:TOGETHER]:
        looked_at = set(_looked_at(operation))
        alone = operation.kind is OperationKind.MERGE_EXERCISE
        if some and (alone or looked_at & taken or len(taken) + len(looked_at) > MAX_RECORDS):
            break
        taken |= looked_at
        some.append(operation)
        if alone:
            break
    return some


def prepare(
    documents: Mapping[Target, Document], operation: Operation, at: datetime, *, change_id: str, key: str, number: int
) -> tuple[Line, list[Write]]:
    """The line of an operation, and the writes of its records.

    Raises:
        _Failed: it cannot be done, changes what it does not name, or was planned on another state.
    """
    snapshot = snapshot_of(documents.values())
    try:
        changes = replay(snapshot, operation, at)
    except CannotReplay as problem:
        raise _failed(operation, problem.code, problem.field, problem.message) from problem
    unnamed = sorted(str(target) for target in changes if target not in operation.targets)
    if unnamed:
        message = f"it would change {', '.join(unnamed)}, which it does not name; add every record to its targets"
        raise _failed(operation, "UNNAMED_TARGET", "targets", message)
    if len(changes) > MAX_TARGETS:
        message = f"it changes {len(changes)} records, over the limit of {MAX_TARGETS}; split it"
        raise _failed(operation, "OPERATION_TOO_LARGE", "targets", message)
    _check_as_planned(snapshot, operation)
    guessed = frozenset(operation.enriched) & operation.patch.keys()
    after = {target: _text(documents.get(target), item, guessed) for target, item in changes.items()}
    before = {target: documents[target].text if target in documents else None for target in changes}
    writes = [write_of(target, documents.get(target), text) for target, text in after.items()]
    if operation.kind is not OperationKind.NO_CHANGE:
        # What was looked at and stays as it is must still be so: an exercise that another one is merged into.
        looked = (documents[target] for target in operation.targets if target in documents and target not in changes)
        writes += [Verify(COLLECTIONS[each.target.kind], each.target.id, each.version) for each in looked]
    return Line(key, change_id, number, operation, before, after), writes


def _check_as_planned(snapshot: Snapshot, operation: Operation) -> None:
    """Refuse an operation whose records do not hold any more what they held where it was planned."""
    for name, expected in operation.before.items():
        target = Target.model_validate(name)
        found = shown_fields(snapshot.get(target))
        if expected is None or found is None:
            if expected is found:
                continue
            there = "is there by now" if expected is None else "is not there any more"
            raise _failed(operation, "STALE_TARGET", name, f"{name} {there}; plan it anew")
        for path, value in expected.items():
            if found.get(path) != value:
                message = f"{path} of {name} is {found.get(path)!r:.200} by now, and was {value!r:.200}; plan it anew"
                raise _failed(operation, "STALE_TARGET", name, message)


def _text(before: Document | None, item: Item | None, guessed: frozenset[str]) -> str | None:
    if item is None:
        return None
    enriched = guessed if isinstance(item, Exercise) else frozenset()
    if before is not None and isinstance(before.item, Exercise) and isinstance(item, Exercise):
        enriched |= still_enriched(before.item, before.enriched, item)
    return text_of(item, enriched)


def _failed(operation: Operation, code: str, field: str, message: str) -> _Failed:
    return _Failed(Finding(code=code, operation=operation.id, field=field, message=message))
