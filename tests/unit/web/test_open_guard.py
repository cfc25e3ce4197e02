"""Where nobody is asked who they are, browsers are asked which page it is for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.web.auth import FAILURES
from tests.unit.web.api_site import ApiSite


@pytest.fixture
def site() -> Iterator[ApiSite]:
    site = ApiSite(worker=False)
    yield site
    site.close()


PAUSE = "/queues/priority/pause"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Host": "127.0.0.1:8080"},
        {"Host": "[::1]:8080"},
        {"Host": "localhost:8080", "Origin": "http://localhost:8080"},
    ],
    ids=str,
)
def test_programs_and_own_pages_are_let_in(site: ApiSite, headers: dict[str, str]) -> None:
    assert site.post(PAUSE, **headers).status_code < 300


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, "CROSS_SITE"),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, "CROSS_SITE"),
        ({"Origin": "https://evil.example"}, "CROSS_SITE"),
        ({"Origin": "null"}, "CROSS_SITE"),
        ({"Origin": "http://[evil"}, "CROSS_SITE"),
        ({"Host": "evil.example"}, "FORBIDDEN"),
        ({"Host": "localhost.evil.example:8080", "Sec-Fetch-Site": "same-origin"}, "FORBIDDEN"),
        ({"Host": "[evil"}, "FORBIDDEN"),
    ],
    ids=str,
)
def test_pages_of_other_sites_change_nothing(site: ApiSite, headers: dict[str, str], code: str) -> None:
    refused = site.post(PAUSE, **headers)
    assert (refused.status_code, refused.json["code"]) == (403, code)
    assert "priority" not in site.ask(lambda manager: manager.get_paused()).queues


def test_an_own_name_for_this_machine_reads_nothing(site: ApiSite) -> None:
    assert site.get("/jobs", Host="evil.example").status_code == 403
    assert site.get("/jobs", **{"Sec-Fetch-Site": "cross-site"}).status_code == 200, "its page does not see the answer"


def test_a_page_keeps_nobody_out(site: ApiSite) -> None:
    for _ in range(FAILURES + 1):
        assert site.post(PAUSE, Origin="https://evil.example").status_code == 403
    assert site.get("/jobs").status_code == 200
