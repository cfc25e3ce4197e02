"""Who may use the API: tokens and their scopes, people and what their browsers say, and who is kept out."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest

from app.cloud.oidc import Caller, TokenVerifier, Unauthenticated
from app.jobs import BadInput
from app.web.auth import FAILURES, OPEN_ROUTES
from app.web.scopes import IAP_HEADER, Access, api_guard_of
from app.web.tokens import Scope, TokenEntry, Tokens, hash_of, new_token
from tests.unit.web.api_site import ApiSite

OUTSIDE = "0.0.0.0"  # noqa: S104 - where others can reach it
AUDIENCE = "/projects/1/global/backendServices/2"
TOKENS = {scope: new_token(f"program {scope}", frozenset({scope})) for scope in Scope}
ENTRIES = tuple(entry for _, entry in TOKENS.values())
PEOPLE = {"reader@example.com": frozenset({Scope.READ}), "boss@example.com": frozenset({Scope.ADMIN})}


class PeopleVerifier(TokenVerifier):
    """Takes an e-mail address for an assertion about its owner."""

    def __init__(self) -> None:
        super().__init__(AUDIENCE)

    def caller(self, token: str) -> Caller:
        if "@" not in token:
            raise Unauthenticated("it is no token")
        return Caller(token, "accounts.google.com:1")


@pytest.fixture
def site() -> Iterator[ApiSite]:
    access = Access(ENTRIES, AUDIENCE, PEOPLE)
    site = ApiSite(worker=False, guard=lambda scopes: api_guard_of(OUTSIDE, access, scopes, PeopleVerifier()))
    yield site
    site.close()


def bearer(scope: Scope) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[scope][0]}"}


# --- tokens -------------------------------------------------------------------------------------------


def test_a_tokens_text_is_kept_nowhere() -> None:
    token, entry = new_token("ci", frozenset({Scope.READ}))
    assert token.startswith("torpor_")
    assert entry.sha256 == sha256(token.encode()).hexdigest()
    assert token not in repr(entry)
    assert new_token("ci", frozenset({Scope.READ}))[0] != token


def test_every_entry_is_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    digests_agree = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(other))
        return digests_agree(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Tokens(ENTRIES).find(TOKENS[Scope.READ][0]) == TOKENS[Scope.READ][1]
    assert Tokens(ENTRIES).find("torpor_x") is None
    assert compared == [64] * 2 * len(ENTRIES)


WRONG_ENTRIES = [("", "0" * 64, {Scope.READ}), ("x", "0" * 64, set()), ("x", "secret", {Scope.READ})]


@pytest.mark.parametrize(("name", "digest", "scopes"), WRONG_ENTRIES)
def test_entries_that_are_none(name: str, digest: str, scopes: set[Scope]) -> None:
    with pytest.raises(ValueError, match="torpor tokens create"):
        TokenEntry(name, digest, frozenset(scopes))


MATRIX = [
    ("GET", "/jobs", Scope.READ),
    ("GET", "/openapi.json", Scope.READ),
    ("POST", "/jobs", Scope.ENQUEUE),
    ("POST", "/events", Scope.ENQUEUE),
    ("POST", "/jobs/x/cancel", Scope.ADMIN),
    ("DELETE", "/jobs/x", Scope.ADMIN),
    ("POST", "/queues/priority/pause", Scope.ADMIN),
    ("POST", "/upkeep/clean", Scope.ADMIN),
]


@pytest.mark.parametrize(("method", "route", "wanted"), MATRIX)
def test_each_route_asks_for_a_scope(site: ApiSite, method: str, route: str, wanted: Scope) -> None:
    for scope in Scope:
        answer = site.client.open(f"/api/v1{route}", method=method, headers=bearer(scope))
        if scope in (wanted, Scope.ADMIN):
            assert answer.status_code not in (401, 403)
        else:
            assert (answer.status_code, answer.json["code"]) == (403, "FORBIDDEN")
            assert f"`{wanted}`" in answer.json["detail"]


def test_no_route_is_without_a_scope() -> None:
    asked: dict[str, Scope] = {}

    def remember(scopes: Any) -> Any:
        asked.update(scopes)
        return api_guard_of("127.0.0.1", Access(), scopes)

    app = ApiSite(guard=remember).app
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule not in OPEN_ROUTES}
    assert endpoints - {"static"} == set(asked)
    changing = {
        rule.endpoint for rule in app.url_map.iter_rules() if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    assert Scope.READ not in {asked[endpoint] for endpoint in changing}


REFUSED: dict[str, dict[str, str]] = {
    "nothing": {},
    "no scheme": {"Authorization": TOKENS[Scope.ADMIN][0]},
    "another scheme": {"Authorization": f"Basic {TOKENS[Scope.ADMIN][0]}"},
    "no token": {"Authorization": "Bearer "},
    "another token": {"Authorization": f"Bearer {new_token('x', frozenset({Scope.ADMIN}))[0]}"},
    "a hash": {"Authorization": f"Bearer {hash_of(TOKENS[Scope.ADMIN][0])}"},
    "a part": {"Authorization": f"Bearer {TOKENS[Scope.ADMIN][0][:-1]}"},
    "no ASCII": {"Authorization": "Bearer \xff\xfe"},
    "a forged assertion": {IAP_HEADER: "x.y.z"},
    "a wrong token beside an assertion": {"Authorization": "Bearer x", IAP_HEADER: "boss@example.com"},
    "no token for anybody": {"Authorization": "", IAP_HEADER: "boss@example.com"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_who_is_not_known_is_told_nothing(site: ApiSite, headers: dict[str, str]) -> None:
    for route in ("/jobs", "/nowhere", "/openapi.json"):
        answer = site.get(route, **headers)
        assert (answer.status_code, answer.json["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert site.client.get("/healthz").status_code == 200


def test_who_fails_too_often_has_to_wait(site: ApiSite) -> None:
    codes = [site.get("/jobs", Authorization="Bearer x").status_code for _ in range(FAILURES + 3)]
    assert codes == [401] * FAILURES + [429] * 3


def test_who_tries_too_often_what_it_may_not_has_to_wait_alone(site: ApiSite) -> None:
    """Others come from the same address, and what the caller may do it still may."""
    enqueue, read = bearer(Scope.ENQUEUE), bearer(Scope.READ)
    codes = [site.post("/upkeep/clean", {}, **enqueue).status_code for _ in range(FAILURES + 3)]
    assert codes == [403] * FAILURES + [429] * 3
    assert site.post("/jobs", {"type": "quick"}, **enqueue).status_code == 201
    assert site.get("/jobs", **read).status_code == 200
    assert site.post("/upkeep/clean", {}, **read).status_code == 403
    assert site.get("/jobs", Authorization="Bearer x").status_code == 401


# --- people -------------------------------------------------------------------------------------------


def person(email: str, **headers: str) -> dict[str, str]:
    return {IAP_HEADER: email, **headers}


def test_people_have_the_scopes_of_their_address(site: ApiSite) -> None:
    reader, boss = person("reader@example.com"), person("boss@example.com")
    assert site.get("/jobs", **reader).status_code == 200
    assert site.post("/jobs", {"type": "quick"}, **reader).status_code == 403
    assert site.post("/jobs", {"type": "quick"}, **boss).status_code == 201
    unknown = site.get("/jobs", **person("stranger@example.com"))
    assert (unknown.status_code, unknown.json["code"]) == (403, "FORBIDDEN")


SITES: dict[str, tuple[dict[str, str], bool]] = {
    "a program": ({}, True),
    "the same page": ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, True),
    "the address bar": ({"Sec-Fetch-Site": "none"}, True),
    "another site": ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
    "another host of the site": ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"}, False),
    "an old browser, same page": ({"Origin": "http://localhost"}, True),
    "an old browser, another site": ({"Origin": "https://evil.example"}, False),
    "an old browser, a hidden page": ({"Origin": "null"}, False),
}


@pytest.mark.parametrize(("headers", "allowed"), SITES.values(), ids=SITES)
def test_another_sites_page_changes_nothing(site: ApiSite, headers: dict[str, str], allowed: bool) -> None:
    answer = site.post("/queues/priority/pause", None, **person("boss@example.com", **headers))

    assert answer.status_code == (200 if allowed else 403)
    if not allowed:
        assert answer.json["code"] == "CROSS_SITE"
    assert site.get("/paused", **bearer(Scope.READ)).json["queues"] == (["priority"] if allowed else [])
    assert site.get("/jobs", **person("boss@example.com", **headers)).status_code == 200
    assert site.post("/jobs", {"type": "quick"}, **bearer(Scope.ENQUEUE), **headers).status_code == 201


def test_another_sites_page_reads_nothing_over_a_websocket(site: ApiSite) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    theirs = person("boss@example.com", Origin="https://evil.example", **upgrade)
    assert site.get("/jobs/x/logs", **theirs).json["code"] == "CROSS_SITE"
    own = person("boss@example.com", Origin="http://localhost", **upgrade)
    assert site.get("/jobs/x/logs", **own).status_code == 422  # only gunicorn hands the connection over


def test_who_decides_is_known_by_the_session(site: ApiSite) -> None:
    body = {"name": "news", "by": "somebody else"}
    said = [
        site.post("/events", body, **person("boss@example.com")).json["sent_by"],
        site.post("/events", body, **bearer(Scope.ENQUEUE)).json["sent_by"],
        site.post("/events", {"name": "news"}, **bearer(Scope.ENQUEUE)).json["sent_by"],
    ]
    assert said == ["boss@example.com", "somebody else", "program enqueue"]


# --- at start -----------------------------------------------------------------------------------------

REFUSED_AT_START: dict[str, tuple[Callable[[], Access], str]] = {
    "nobody is asked": (Access, "TORPOR_API_TOKENS"),
    "no people": (lambda: Access(ENTRIES, AUDIENCE), "nobody may do anything"),
    "people without IAP": (lambda: Access(ENTRIES, None, PEOPLE), "iap_audience"),
}


@pytest.mark.parametrize(("access", "says"), REFUSED_AT_START.values(), ids=REFUSED_AT_START)
def test_a_server_that_others_reach_is_refused(access: Callable[[], Access], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        api_guard_of(OUTSIDE, access(), {})


def test_on_loopback_nobody_is_asked_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    site = ApiSite(worker=False, guard=lambda scopes: api_guard_of("127.0.0.1", Access(), scopes))
    try:
        assert site.get("/jobs").status_code == 200
        assert "authentication is off" in caplog.text
    finally:
        site.close()


def test_an_empty_list_of_tokens_lets_nobody_in_wherever_the_server_listens() -> None:
    """So that a service can begin before there is a token, and be given some later."""
    for host in (OUTSIDE, "127.0.0.1"):
        site = ApiSite(worker=False, guard=lambda scopes, host=host: api_guard_of(host, Access(tokens=()), scopes))
        try:
            refused = [site.get("/jobs"), site.get("/jobs", **bearer(Scope.ADMIN))]
            assert {answer.status_code for answer in refused} == {401}
            assert site.client.get("/healthz").status_code == 200
        finally:
            site.close()
