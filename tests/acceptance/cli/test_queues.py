"""`torpor queues` and `torpor types pause|resume`."""

from __future__ import annotations

import pytest

from tests.acceptance.cli.conftest import Torpor


def drained(torpor: Torpor) -> dict[str, int]:
    """What a worker did that ran until nothing was left to do."""
    report: dict[str, int] = torpor("worker", "--drain", "--json").json
    return report


def test_a_queue_is_paused_shown_and_resumed(torpor: Torpor) -> None:
    torpor.json("enqueue", "shop_ok", "--payload", '{"n": 1}')
    assert torpor.json("queues", "pause", "priority") == {"queues": ["priority"], "types": []}
    listed = {line["queue"]: line["paused"] for line in torpor.json("queues", "list")}
    assert listed == {"priority": True, "maintenance": False}
    (first, _) = torpor.json("queues", "stats")
    assert (first["queue"], first["paused"], first["jobs"]["queued"]) == ("priority", True, 1)
    for verb in ("list", "stats"):
        told = torpor("queues", verb)
        assert (told.code, "paused" in told.out) == (0, True)
    assert drained(torpor)["claimed"] == 0
    assert "paused on request: queues: priority" in torpor("doctor").out

    assert "paused now: nothing" in torpor("queues", "resume", "priority").out
    assert drained(torpor)["completed"] == 1


def test_a_type_is_paused_and_resumed_and_the_types_are_still_listed(torpor: Torpor) -> None:
    job_id = torpor.json("enqueue", "shop_ok", "--payload", '{"n": 1}')["id"]
    known = torpor("types", "pause", "shop_ok")
    assert ("types: shop_ok" in known.out, known.err) == (True, "")
    assert drained(torpor)["completed"] == 0
    assert torpor.json("jobs", "show", job_id)["parked_on"] == "pause:shop_ok"
    assert torpor.json("types", "resume", "shop_ok") == {"queues": [], "types": []}
    assert drained(torpor)["completed"] == 1
    assert "shop_ok" in torpor("types").out


def test_a_type_that_nobody_knows_is_paused_with_a_word_about_it(torpor: Torpor) -> None:
    told = torpor("types", "pause", "shop_okk")
    assert (told.code, told.out) == (0, "paused now: types: shop_okk\n")
    assert "'shop_okk'" in told.err


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_no_queue_and_no_type_is_refused(torpor: Torpor, verb: str) -> None:
    queue = torpor("queues", verb, "urgent")
    assert (queue.code, queue.out) == (2, "")
    assert "maintenance" in queue.err
    name = torpor("types", verb, "")
    assert (name.code, name.out) == (2, "")
