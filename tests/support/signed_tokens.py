"""Tokens as Google signs them, made with a key pair of the test's own; and many that nobody may be taken in by."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

AUDIENCE = "https://worker.example.run.app"
EMAIL = "push@project.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ "


def encoded(data: bytes) -> str:
    """As the parts of a token are: base64 for addresses, without padding."""
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

    def token(self, said: object, **header: object) -> str:
        """A signed token with these claims; header fields can be changed."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id, **header}
        signed = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(said).encode())}"
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def claims(**changes: object) -> dict[str, Any]:
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


_NOW = int(time.time())
WRONG_CLAIMS: dict[str, dict[str, object]] = {
    "expired": {"iat": _NOW - 7200, "exp": _NOW - 3600},
    "not yet valid": {"iat": _NOW + 3600, "exp": _NOW + 7200},
    "valid for a year": {"exp": _NOW + 365 * 86_400},
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
"""Changes to the claims of a good token, each of which makes it good for nothing."""


def _hmac_of_public_key(signer: Signer) -> str:
    """The old trick: the public key as the secret of a symmetric signature."""
    head = encoded(json.dumps({"alg": "HS256", "kid": signer.key_id}).encode())
    signed = f"{head}.{encoded(json.dumps(claims()).encode())}"
    mac = hmac.new(signer.certificate.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encoded(mac)}"


def forged_tokens(signer: Signer, stranger: Signer) -> dict[str, str]:
    """What is no token of the signer's, or has no right to be one.

    Args:
        signer: who is trusted.
        stranger: somebody else whose key has the same id.
    """
    good = claims()
    head, said, signature = signer.token(good).split(".")
    deep = encoded(b"[" * 2500)
    return {
        "nothing": "",
        "words": "let me in",
        "two dots": "..",
        "no text": "\u00e4.\u00e4.\u00e4",
        "very long": "a" * 10_000,
        "unsigned": signer.token(good).rsplit(".", 1)[0] + ".",
        "alg none": signer.token(good, alg="none"),
        "alg none without a signature": signer.token(good, alg="none").rsplit(".", 1)[0] + ".",
        "alg is a list": signer.token(good, alg=["RS256"]),
        "symmetric": _hmac_of_public_key(signer),
        "signed by a stranger": stranger.token(good),
        "an unknown key": signer.token(good, kid="two"),
        "no key": signer.token(good, kid=None),
        "a key that is a number": signer.token(good, kid=1),
        "claims that are a list": signer.token([1, 2]),
        "a header nested deeper than can be read": f"{deep}.{said}.{signature}",
        "claims nested deeper than can be read": f"{head}.{deep}.{signature}",
    }


def changed_tokens(good: str, number: int, seed: int) -> Iterator[str]:
    """So many tokens that are a good one but for one character, which is another one or left out."""
    draw = random.Random(seed)
    while number:
        place = draw.randrange(len(good) - 2)  # the last character's lowest bits are no part of the signature
        other = draw.choice((draw.choice(_ALPHABET), ""))
        changed = good[:place] + other + good[place + 1 :]
        if changed != good:
            number -= 1
            yield changed
