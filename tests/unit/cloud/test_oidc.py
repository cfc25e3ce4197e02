"""Who a token speaks for, and two hundred that speak for nobody."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

from app.cloud.oidc import Caller, Keys, KeysUnavailable, TokenVerifier, Unauthenticated, iap_verifier

AUDIENCE = "https://worker.example.run.app"
EMAIL = "push@project.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
SENSIBLE_SECONDS = 60.0


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A key pair with its certificate."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key_id)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(serialization.Encoding.PEM).decode()

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id, **header}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says, with changes; a change to None leaves the claim out."""
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "azp": "1234",
        "sub": "1234",
        "email": EMAIL,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


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


NOW = int(time.time())
WRONG_CLAIMS = {
    "expired": {"iat": NOW - 7200, "exp": NOW - 3600},
    "not yet valid": {"iat": NOW + 3600, "exp": NOW + 7200},
    "valid for a year": {"exp": NOW + 365 * 86_400},
    "no expiry": {"exp": None},
    "an expiry that is text": {"exp": "tomorrow"},
    "no time of issue": {"iat": None},
    "another audience": {"aud": "https://other.example.run.app"},
    "no audience": {"aud": None},
    "two audiences": {"aud": [AUDIENCE, "https://other.example"]},
    "another issuer": {"iss": "https://accounts.example.com"},
    "no issuer": {"iss": None},
    "no e-mail": {"email": None},
    "an e-mail that is a list": {"email": [EMAIL]},
    "an unverified e-mail": {"email_verified": False},
    "an e-mail that nobody verified": {"email_verified": None},
    "verified by a text": {"email_verified": "true"},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_what_a_token_must_say(verifier: TokenVerifier, wrong: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        verifier.caller(SIGNER.token(claims(**wrong)))


def _hmac_of_public_key() -> str:
    """The old trick: the public key as the secret of a symmetric signature."""
    import hashlib
    import hmac

    head = _encoded(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    signed = f"{head}.{_encoded(json.dumps(claims()).encode())}"
    mac = hmac.new(SIGNER.certificate.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encoded(mac)}"


FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "words": lambda: "let me in",
    "two dots": lambda: "..",
    "no text": lambda: "\u00e4.\u00e4.\u00e4",
    "very long": lambda: "a" * 100_000,
    "unsigned": lambda: SIGNER.token(claims()).rsplit(".", 1)[0] + ".",
    "alg none": lambda: SIGNER.token(claims(), alg="none"),
    "alg none without a signature": lambda: SIGNER.token(claims(), alg="none").rsplit(".", 1)[0] + ".",
    "alg is a list": lambda: SIGNER.token(claims(), alg=["RS256"]),
    "symmetric": _hmac_of_public_key,
    "signed by a stranger": lambda: STRANGER.token(claims()),
    "an unknown key": lambda: SIGNER.token(claims(), kid="two"),
    "no key": lambda: SIGNER.token(claims(), kid=None),
    "a key that is a number": lambda: SIGNER.token(claims(), kid=1),
    "claims that are a list": lambda: SIGNER.token([1, 2]),  # type: ignore[arg-type]  # on purpose
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_forged_tokens(verifier: TokenVerifier, make: Callable[[], str]) -> None:
    with pytest.raises(Unauthenticated):
        verifier.caller(make())


def test_no_changed_token_gets_through(verifier: TokenVerifier) -> None:
    """Two hundred tokens with one character changed, left out or put in."""
    good = SIGNER.token(claims())
    draw = random.Random(20261122)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ "
    for _ in range(200):
        place = draw.randrange(len(good) - 2)  # the last character's lowest bits are no part of the signature
        changed = draw.choice(
            [good[:place] + draw.choice(alphabet) + good[place + 1 :], good[:place] + good[place + 1 :]]
        )
        if changed == good:
            continue
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


# --- people ------------------------------------------------------------------------------------------


def test_an_assertion_of_the_identity_aware_proxy() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    said = claims(iss="https://cloud.google.com/iap", aud="/projects/1/services/2", email="ann@example.com")
    head = _encoded(json.dumps({"alg": "ES256", "kid": "iap"}).encode())
    signed = f"{head}.{_encoded(json.dumps(said).encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    assertion = f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    keys = Keys("https://keys.example", fetch=lambda url: (json.dumps({"iap": public.decode()}).encode(), ""))

    assert iap_verifier("/projects/1/services/2", keys).caller(assertion).email == "ann@example.com"
    with pytest.raises(Unauthenticated):
        iap_verifier("/projects/1/services/3", keys).caller(assertion)
    with pytest.raises(Unauthenticated):
        TokenVerifier("/projects/1/services/2", keys=keys).caller(assertion)
