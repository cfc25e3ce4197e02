"""That of several who want the same, one gets it: on one store object, from several tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from app.stores.base import Claimed, Delete, Insert, PreconditionFailed, Put, Store, Unit, Update, Version
from app.stores.conformance.harness import Harness, ask, ids, insert, job, lease, one, promote, ready

_ROUNDS = 12
_RIVALS = 4


class RaceConformance(Harness):
    """Rivals in one process."""

    async def test_of_concurrent_updates_of_one_state_exactly_one_wins(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        for turn in range(_ROUNDS):
            answers = await rivals(
                [
                    store.commit([Update("jobs", "a", {"worker_id": f"{turn}-{rival}"}, version)])
                    for rival in range(_RIVALS)
                ]
            )
            winner = only_winner(answers)
            record = await one(store, "jobs", "a")
            assert record.fields["worker_id"] == f"{turn}-{winner}"
            assert [record.version] == answers[winner]
            version = record.version

    async def test_of_concurrent_inserts_of_one_id_exactly_one_wins(self, store: Store) -> None:
        for turn in range(_ROUNDS):
            answers = await rivals(
                [store.commit([Insert("jobs", f"{turn}", job(name=f"{rival}"))]) for rival in range(_RIVALS)]
            )
            winner = only_winner(answers)
            assert (await one(store, "jobs", f"{turn}")).fields["name"] == f"{winner}"

    async def test_a_delete_and_an_update_of_one_state_do_not_both_happen(self, store: Store) -> None:
        for turn in range(_ROUNDS):
            (version,) = await store.commit([Insert("jobs", f"{turn}", job())])
            answers = await rivals(
                [
                    store.commit([Delete("jobs", f"{turn}", version)]),
                    store.commit([Update("jobs", f"{turn}", {"attempt": 1}, version)]),
                ]
            )
            winner = only_winner(answers)
            (record,) = await store.get("jobs", [f"{turn}"])
            assert (record is None) == (winner == 0)

    async def test_units_that_cross_each_other_are_still_all_or_nothing(self, store: Store) -> None:
        for turn in range(_ROUNDS):
            names = (f"{turn}-a", f"{turn}-b")
            versions = await insert(store, "jobs", [(name, job()) for name in names])
            answers = await rivals(
                [
                    # Each in the other's order: stores that lock record by record must not block each other for good.
                    store.commit([Update("jobs", name, {"worker_id": f"{rival}"}, versions[name]) for name in order])
                    for rival, order in enumerate([names, names[::-1], names, names[::-1]])
                ]
            )
            winner = only_winner(answers)
            owners = [(await one(store, "jobs", name)).fields["worker_id"] for name in names]
            assert owners == [f"{winner}", f"{winner}"]

    async def test_rounds_that_overlap_give_each_unit_to_one_of_them(self, store: Store) -> None:
        names = [f"{number:02}" for number in range(12)]
        versions = await insert(store, "jobs", [(name, job()) for name in names])

        def units(rival: int) -> list[Unit]:
            ordered = names if rival % 2 else names[::-1]
            return [
                [
                    Update("jobs", name, {"worker_id": f"{rival}"}, versions[name]),
                    Put("runs", f"{name}-{rival}", {"job_id": name}),
                ]
                for name in ordered
            ]

        answers = await asyncio.gather(*(store.commit_each(units(rival)) for rival in range(3)))
        for place, name in enumerate(names):
            each = [answers[rival][place if rival % 2 else -1 - place] for rival in range(3)]
            winner = only_winner(each)
            assert (await one(store, "jobs", name)).fields["worker_id"] == f"{winner}"
            runs = await store.get("runs", [f"{name}-{rival}" for rival in range(3)])
            assert [run is not None for run in runs] == [rival == winner for rival in range(3)]

    async def test_no_record_is_claimed_twice(self, store: Store) -> None:
        names = [f"job-{number}" for number in range(60)]
        await insert(store, "jobs", [(name, ready()) for name in names])
        assert sorted(await claim_all([store] * _RIVALS)) == sorted(names)

    async def test_a_claim_and_a_commit_of_one_state_do_not_both_happen(self, store: Store) -> None:
        for turn in range(_ROUNDS):
            versions = await insert(store, "jobs", [(f"{turn}", ready())])
            claimed, committed = await asyncio.gather(
                store.claim(ask(), lease, promote),
                store.commit(
                    [Update("jobs", f"{turn}", {"status": "cancelled", "ready_at": None}, versions[f"{turn}"])]
                ),
                return_exceptions=True,
            )
            assert isinstance(claimed, Claimed), claimed
            taken = ids(claimed.records)
            assert (taken == [f"{turn}"]) == isinstance(committed, PreconditionFailed)
            record = await one(store, "jobs", f"{turn}")
            assert record.fields["status"] == ("running" if taken else "cancelled")


# --- shared with `sharing`, where the rivals are store objects ------------------------------------------


async def rivals(commits: Sequence[Awaitable[list[Version]]]) -> list[list[Version] | BaseException]:
    """Run commits at once; each one's versions, or what it raised."""
    return await asyncio.gather(*commits, return_exceptions=True)


def only_winner(answers: Sequence[list[Version] | BaseException]) -> int:
    """The place of the one answer that is no failed precondition; anything else is an error."""
    winners = [place for place, answer in enumerate(answers) if isinstance(answer, list)]
    others = [answer for answer in answers if not isinstance(answer, list | PreconditionFailed)]
    assert not others, f"only a failed precondition may be answered: {others!r}"
    assert len(winners) == 1, f"{len(winners)} of {len(answers)} won: {answers!r}"
    return winners[0]


async def claim_all(claimers: Sequence[Store], limit: int = 3) -> list[str]:
    """Let several claimers empty the queue at once; every id that one of them was given."""
    found: list[str] = []

    async def work(store: Store) -> None:
        idle = 0
        # A claimer that lost its whole page to the others looks again; it stops when it saw nothing twice.
        for _ in range(1000):
            claimed = await store.claim(ask(limit=limit), lease, promote)
            found.extend(ids(claimed.records))
            idle = idle + 1 if not claimed.records and not claimed.conflicts else 0
            if idle == 2:
                return
        raise AssertionError("after 1,000 claims there was still something to claim")

    await asyncio.gather(*(work(store) for store in claimers))
    return found
