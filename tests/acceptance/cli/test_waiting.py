"""Events, reviews, steps, and jobs that are held: by the command."""

from __future__ import annotations

from tests.acceptance.cli.conftest import Torpor


def work(torpor: Torpor) -> None:
    assert torpor("worker", "--drain").code == 0


def test_an_event_lets_a_job_go_on(torpor: Torpor) -> None:
    job_id = torpor.json("enqueue", "shop_waits")["id"]
    work(torpor)
    assert torpor.json("jobs", "show", job_id)["waiting_for"] == "event:paid"

    told = torpor("events", "send", "paid", "--data", '{"amount": 3}', "--job", job_id, "--by", "till")
    assert (told.code, f"job {job_id}" in told.out) == (0, True)
    kept = torpor.json("events", "list", "--name", "paid")
    assert [(each["job_id"], each["data"], each["sent_by"]) for each in kept] == [(job_id, {"amount": 3}, "till")]
    assert "till" in torpor("events", "list").out

    work(torpor)
    shown = torpor.json("jobs", "show", job_id)
    assert shown["results"]["result"] == ["done first", {"amount": 3}]
    assert torpor.json("events", "list") == []
    steps = torpor.json("jobs", "steps", job_id)
    assert [(each["name"], each["kind"], each["call"]) for each in steps] == [
        ("first", "step", 1),
        ("paid", "event", 2),
    ]
    assert "done first" in torpor("jobs", "steps", job_id).out


def test_an_event_for_whoever_waits(torpor: Torpor) -> None:
    sent = torpor.json("events", "send", "paid", "--id", "e1")
    assert (sent["id"], sent["job_id"], sent["data"]) == ("e1", None, None)
    assert "whoever waits" in torpor("events", "send", "paid").out
    assert len(torpor.json("events", "list", "--limit", "1")) == 1


def test_what_cannot_be_sent_is_refused(torpor: Torpor) -> None:
    for arguments in (["paid", "--data", "{"], ["paid", "--job", "nobody"], ["x" * 200]):
        refused = torpor("events", "send", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "BAD_INPUT" in refused.err or "JOB_NOT_FOUND" in refused.err
    assert torpor.json("events", "list") == []


def test_people_decide(torpor: Torpor) -> None:
    ids = [torpor.json("enqueue", "shop_careful", "--payload", '{"amount": 3}')["id"] for _ in range(3)]
    work(torpor)
    waiting = torpor.json("review", "list", "--type", "shop_careful")
    assert {each["job_id"] for each in waiting} == set(ids)
    assert (waiting[0]["question"], waiting[0]["data"]) == ("Pay this?", {"amount": 3})
    assert waiting[0]["expires_at"] is not None
    assert "Pay this?" in torpor("review", "list").out

    nobody = torpor("review", "approve", ids[0], "--by", " ")
    assert (nobody.code, "by: names nobody" in nobody.err) == (2, True)
    approved = torpor("review", "approve", ids[0], "--by", "ann", "--data", '"cash"')
    assert (approved.code, "queued" in approved.out) == (0, True)
    assert torpor.json("review", "edit", ids[1], "--by", "bob", "--payload", '{"amount": 2}')["status"] == "queued"
    assert torpor.json("review", "reject", ids[2], "--comment", "too much")["status"] == "cancelled"
    work(torpor)
    results = [torpor.json("jobs", "show", each)["results"]["result"] for each in ids[:2]]
    assert results == [[3, "ann", "cash"], [2, "bob", None]]
    rejected = torpor.json("jobs", "show", ids[2])
    assert (rejected["review"]["comment"], bool(rejected["review"]["by"])) == ("too much", True)
    assert torpor("review", "approve", ids[2]).code == 2
    assert torpor.json("review", "list") == []


def test_a_job_is_held_and_let_go_on(torpor: Torpor) -> None:
    job_id = torpor.json("enqueue", "shop_ok")["id"]
    assert torpor.json("jobs", "pause", job_id, "--reason", "lunch")["status"] == "paused"
    work(torpor)
    assert "queued" in torpor("jobs", "resume", job_id).out
    work(torpor)
    assert torpor.json("jobs", "show", job_id)["status"] == "completed"
    assert torpor("jobs", "resume", job_id).code == 2


def test_a_job_is_retried_from_a_step(torpor: Torpor) -> None:
    job_id = torpor.json("enqueue", "shop_stumbles")["id"]
    work(torpor)
    assert torpor("jobs", "retry", job_id, "--from-step", "other").code == 2
    assert torpor.json("jobs", "retry", job_id, "--from-step", "number")["status"] == "queued"
    work(torpor)
    assert torpor.json("jobs", "show", job_id)["results"]["result"] == 2
