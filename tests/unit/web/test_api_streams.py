"""Server-sent events: what a reader gets, how it is taken up again, and that places are given back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.jobs import JobNotFound
from app.web.api.streams import LONGEST_SECONDS, Ended, Event, EventStream, Quiet, as_text
from tests.unit.web.api_site import EVENT_STREAM, ApiSite


@pytest.fixture
def site() -> Iterator[ApiSite]:
    site = ApiSite(places=2)
    yield site
    site.close()


def events(text: str) -> list[tuple[str, str, Any]]:
    """(kind, id, data) of each event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_log_is_followed_to_its_end(site: ApiSite) -> None:
    job = site.create()
    answer = site.get(f"/jobs/{job['id']}/logs", **EVENT_STREAM)

    assert answer.content_type.startswith("text/event-stream")
    assert answer.text.startswith("retry: ")
    (line, end) = events(answer.text)
    assert (line[0], line[1], line[2]["message"]) == ("log", "1", "began")
    assert end == ("end", "", {"status": "completed"})


def test_a_log_is_taken_up_behind_the_last_line(site: ApiSite) -> None:
    job = site.until(site.create()["id"], "completed")
    again = site.get(f"/jobs/{job['id']}/logs", **EVENT_STREAM, **{"Last-Event-ID": "1"})
    assert [kind for kind, _, _ in events(again.text)] == ["end"]
    by_query = site.get(f"/jobs/{job['id']}/logs?after=1", **EVENT_STREAM)
    assert [kind for kind, _, _ in events(by_query.text)] == ["end"]
    assert site.get(f"/jobs/{job['id']}/logs", **EVENT_STREAM, **{"Last-Event-ID": "x"}).status_code == 422


def test_progress_is_followed(site: ApiSite) -> None:
    job = site.create()
    found = events(site.get(f"/jobs/{job['id']}/progress", **EVENT_STREAM, **{"Last-Event-ID": "6"}).text)
    assert found[0][:2] == ("progress", "7")
    assert found[-2][2]["message"] == "half"
    assert found[-1][0] == "end"


def test_results_are_followed_and_taken_up_behind_the_last(site: ApiSite) -> None:
    job = site.create(payload={"n": 7})
    found = events(site.get(f"/jobs/{job['id']}/results", **EVENT_STREAM).text)
    assert [kind for kind, _, _ in found] == ["result", "end"]
    (_, number, saved) = found[0]
    assert (number, saved["number"], saved["attempt"], saved["data"]) == ("1", 1, 1, {"n": 7})

    again = site.get(f"/jobs/{job['id']}/results", **EVENT_STREAM, **{"Last-Event-ID": "1"})
    assert [kind for kind, _, _ in events(again.text)] == ["end"]
    whole, rest = (site.get(f"/jobs/{job['id']}/results?after={after}").json for after in (0, 1))
    assert (whole["result"], whole["saved"]) == (7, [{"n": 7}])
    assert (rest["result"], rest["saved"]) == (7, [])


def test_a_batch_is_followed(site: ApiSite) -> None:
    batch = site.post("/batches", {"jobs": [{"type": "quick"}, {"type": "quick", "dependencies": [0]}]}).json["id"]
    found = events(site.get(f"/batches/{batch}", **EVENT_STREAM, **{"Last-Event-ID": "3"}).text)
    assert found[0][:2] == ("batch", "4")
    assert found[-2][2]["counts"] == {"completed": 2}
    assert found[-1] == ("end", "", {"counts": {"completed": 2}})


@pytest.mark.parametrize("what", ["jobs/nope/logs", "jobs/nope/progress", "jobs/nope/results", "batches/nope"])
def test_what_is_not_there_has_no_stream(site: ApiSite, what: str) -> None:
    assert site.get(f"/{what}", **EVENT_STREAM).status_code == 404


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, */*;q=0.5", ""])
def test_who_does_not_ask_for_a_stream_gets_json(site: ApiSite, accept: str) -> None:
    job = site.create()
    assert site.get(f"/jobs/{job['id']}/logs", Accept=accept).content_type == "application/json"


def test_places_are_limited_and_given_back(site: ApiSite) -> None:
    route = f"/api/v1/jobs/{site.create(auto_start=False)['id']}/logs"
    first, second, third = (site.client.get(route, headers=EVENT_STREAM) for _ in range(3))
    refused = third
    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (503, "STREAMS_FULL", "10")

    first.close()  # whether it was read or not
    again = site.client.get(route, headers=EVENT_STREAM)
    assert next(iter(again.response)).startswith(b"retry")
    for each in (second, again):
        each.close()


def test_events_are_followed_from_now_on_and_taken_up_again(site: ApiSite) -> None:
    earlier = site.post("/events", {"name": "news"}).json
    followed = site.client.get("/api/v1/events?name=news", headers=EVENT_STREAM)
    blocks = iter(followed.response)
    begun = next(blocks) + next(blocks)
    sent = [site.post("/events", {"name": name, "data": 7}).json for name in ("other", "news")]
    told = next(block for block in blocks if not block.startswith(b":"))
    followed.close()

    ((kind, place, data),) = events(begun.decode())
    assert (kind, data) == ("begin", {"after": int(place)})
    ((kind, number, data),) = events(told.decode())
    assert (kind, data) == ("event", sent[1])

    again = site.client.get("/api/v1/events", headers={**EVENT_STREAM, "Last-Event-ID": number})
    blocks = (block.decode() for block in again.response)
    found = [events(next(blocks)) for _ in range(5)]
    again.close()
    assert [data["id"] for block in found[2:] for _, _, data in block] == [
        earlier["id"],
        *(each["id"] for each in sent),
    ]
    assert site.get("/events", **EVENT_STREAM, **{"Last-Event-ID": "x"}).status_code == 422
    assert site.get("/events?name=", **EVENT_STREAM).status_code == 422


def test_a_process_that_ends_ends_its_streams(site: ApiSite) -> None:
    route = f"/api/v1/jobs/{site.create(auto_start=False)['id']}/logs"
    open_one = site.client.get(route, headers=EVENT_STREAM)

    site.service.begin_stop()

    assert [kind for kind, _, _ in events(open_one.text)] == []
    assert events(site.get(route.removeprefix("/api/v1"), **EVENT_STREAM).text) == []


# --- one stream by itself -----------------------------------------------------------------------------


class Clock:
    """Moves by what is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def stream(read: Callable[[float], Any], clock: Clock, left: Callable[[], None] = lambda: None) -> EventStream:
    return EventStream(read, lambda found: Event("log", found), lambda: None, left, monotonic=clock)


def test_a_quiet_stream_says_so_and_ends_after_a_while() -> None:
    clock = Clock()

    def read(seconds: float) -> Quiet:
        clock.now += seconds
        return Quiet()

    said = list(as_text(stream(read, clock)))

    assert set(said[1:]) == {b": nothing new\n\n"}
    assert clock.now == LONGEST_SECONDS


def test_trouble_on_the_way_is_told() -> None:
    def read(seconds: float) -> Any:
        raise JobNotFound("x")

    said = list(as_text(stream(read, Clock())))
    assert said[1:] == [b'event: trouble\ndata: {"code":"JOB_NOT_FOUND"}\n\n']


def test_a_place_is_given_back_once() -> None:
    left: list[str] = []
    one = stream(lambda seconds: Ended(), Clock(), lambda: left.append("left"))
    assert list(one) == []
    one.close()
    one.close()
    assert left == ["left"]
