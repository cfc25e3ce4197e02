"""Who a token speaks for, and two hundred that speak for nobody."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from app.cloud.oidc import RETRY_SECONDS, Caller, Keys, KeysUnavailable, TokenVerifier, Unauthenticated, iap_verifier
from tests.support.signed_tokens import (
    AUDIENCE,
    EMAIL,
    WRONG_CLAIMS,
    Signer,
    changed_tokens,
    claims,
    encoded,
    forged_tokens,
)
from tests.support.worker_processes import PATIENCE_SECONDS

SENSIBLE_SECONDS = 60.0


@dataclass
class KeyServer:
    """Answers what the keys are, and counts how often it was asked."""

    keys: dict[str, str]
    cache_control: str = "public, max-age=600"
    asked: int = 0
    down: bool = False

    def __call__(self, url: str) -> tuple[bytes, str]:
        self.asked += 1
        if self.down:
            raise OSError("no route")
        return json.dumps(self.keys).encode(), self.cache_control


class Timer:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


SIGNER = Signer("one")
STRANGER = Signer("one")


@pytest.fixture
def server() -> KeyServer:
    return KeyServer({"one": SIGNER.certificate})


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def verifier(server: KeyServer, timer: Timer) -> TokenVerifier:
    return TokenVerifier(AUDIENCE, keys=Keys("https://keys.example", fetch=server, monotonic=timer))


def test_a_good_token_names_its_caller(verifier: TokenVerifier) -> None:
    assert verifier.caller(SIGNER.token(claims())) == Caller(EMAIL, "1234")


@pytest.mark.parametrize("wrong", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_what_a_token_must_say(verifier: TokenVerifier, wrong: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        verifier.caller(SIGNER.token(claims(**wrong)))


FORGED = forged_tokens(SIGNER, STRANGER)


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_forged_tokens(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.caller(token)


def test_no_changed_token_gets_through(verifier: TokenVerifier) -> None:
    for changed in changed_tokens(SIGNER.token(claims()), 200, seed=20261122):
        with pytest.raises(Unauthenticated):
            verifier.caller(changed)


# --- keys --------------------------------------------------------------------------------------------


def test_keys_are_fetched_once_and_again_when_they_are_old(
    verifier: TokenVerifier, server: KeyServer, timer: Timer
) -> None:
    for _ in range(3):
        verifier.caller(SIGNER.token(claims()))
    assert server.asked == 1

    timer.seconds += 601

    verifier.caller(SIGNER.token(claims()))
    assert server.asked == 2


def test_a_new_key_is_found_at_once(verifier: TokenVerifier, server: KeyServer, timer: Timer) -> None:
    verifier.caller(SIGNER.token(claims()))
    timer.seconds += SENSIBLE_SECONDS
    newer = Signer("two")
    server.keys = {"two": newer.certificate}

    assert verifier.caller(newer.token(claims())).email == EMAIL
    with pytest.raises(Unauthenticated):
        verifier.caller(SIGNER.token(claims()))


def test_unknown_keys_do_not_hammer_the_key_server(verifier: TokenVerifier, server: KeyServer) -> None:
    verifier.caller(SIGNER.token(claims()))
    for number in range(50):
        with pytest.raises(Unauthenticated):
            verifier.caller(SIGNER.token(claims(), kid=f"unknown-{number}"))
    assert server.asked == 1


def test_known_keys_outlive_an_outage(verifier: TokenVerifier, server: KeyServer, timer: Timer) -> None:
    verifier.caller(SIGNER.token(claims()))
    server.down = True
    timer.seconds += 3600

    for _ in range(5):
        assert verifier.caller(SIGNER.token(claims())).email == EMAIL
    assert server.asked == 2

    timer.seconds += 86_400
    with pytest.raises(KeysUnavailable):
        verifier.caller(SIGNER.token(claims()))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"one": 1}', b"<html>"])
def test_no_keys_at_all(body: bytes) -> None:
    verifier = TokenVerifier(AUDIENCE, keys=Keys("https://keys.example", fetch=lambda url: (body, "")))
    with pytest.raises(KeysUnavailable):
        verifier.caller(SIGNER.token(claims()))


def test_an_outage_is_not_waited_for_by_every_caller(verifier: TokenVerifier, server: KeyServer, timer: Timer) -> None:
    """Each try may take ten seconds: who comes soon after one is refused at once."""
    server.down = True
    for _ in range(20):
        with pytest.raises(KeysUnavailable, match="no route"):
            verifier.caller(SIGNER.token(claims()))
    assert server.asked == 1

    server.down = False
    timer.seconds += RETRY_SECONDS
    assert verifier.caller(SIGNER.token(claims())).email == EMAIL


class SlowServer(KeyServer):
    """Answers when it may."""

    def __init__(self, keys: dict[str, str]) -> None:
        super().__init__(keys)
        self.asking, self.may_answer = threading.Event(), threading.Event()

    def __call__(self, url: str) -> tuple[bytes, str]:
        self.asking.set()
        assert self.may_answer.wait(PATIENCE_SECONDS)
        return super().__call__(url)


def test_a_known_key_does_not_wait_for_newer_ones(timer: Timer) -> None:
    """And one that is not known does: it may be among them. All wait for the same answer."""
    slow = SlowServer({"one": SIGNER.certificate})
    verifier = TokenVerifier(AUDIENCE, keys=Keys("https://keys.example", fetch=slow, monotonic=timer))
    slow.may_answer.set()
    verifier.caller(SIGNER.token(claims()))
    newer = Signer("two")
    slow.keys["two"] = newer.certificate
    timer.seconds += 3600
    slow.asking.clear()
    slow.may_answer.clear()

    with ThreadPoolExecutor(3) as pool:
        try:
            waiting = [pool.submit(verifier.caller, newer.token(claims())) for _ in range(3)]
            assert slow.asking.wait(PATIENCE_SECONDS)
            assert verifier.caller(SIGNER.token(claims())).email == EMAIL
        finally:
            slow.may_answer.set()
        assert [each.result(PATIENCE_SECONDS).email for each in waiting] == [EMAIL] * 3
    assert slow.asked == 2


def test_who_waits_for_keys_in_an_outage_waits_once(timer: Timer) -> None:
    slow = SlowServer({})
    slow.down = True
    verifier = TokenVerifier(AUDIENCE, keys=Keys("https://keys.example", fetch=slow, monotonic=timer))
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(verifier.caller, SIGNER.token(claims())) for _ in range(5)]
        assert slow.asking.wait(PATIENCE_SECONDS)
        slow.may_answer.set()
        for each in waiting:
            with pytest.raises(KeysUnavailable):
                each.result(PATIENCE_SECONDS)
    assert slow.asked == 1


# --- people ------------------------------------------------------------------------------------------


def test_an_assertion_of_the_identity_aware_proxy() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    said = claims(iss="https://cloud.google.com/iap", aud="/projects/1/services/2", email="ann@example.com")
    head = encoded(json.dumps({"alg": "ES256", "kid": "iap"}).encode())
    signed = f"{head}.{encoded(json.dumps(said).encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    assertion = f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    keys = Keys("https://keys.example", fetch=lambda url: (json.dumps({"iap": public.decode()}).encode(), ""))

    assert iap_verifier("/projects/1/services/2", keys).caller(assertion).email == "ann@example.com"
    with pytest.raises(Unauthenticated):
        iap_verifier("/projects/1/services/3", keys).caller(assertion)
    with pytest.raises(Unauthenticated):
        TokenVerifier("/projects/1/services/2", keys=keys).caller(assertion)
