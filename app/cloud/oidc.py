"""Who calls: tokens signed by Google, checked here as well as by the platform in front.

Pub/Sub push and Cloud Scheduler send an OIDC token of their service account; Identity-Aware Proxy sends an assertion
about a person. Both are JSON Web Tokens; they differ in issuer, algorithm and where the keys are.

Sources: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions and
https://cloud.google.com/iap/docs/signed-headers-howto.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.jobs import TorporError

logger = logging.getLogger(__name__)

GOOGLE_CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
GOOGLE_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
IAP_CERTIFICATES = "https://www.gstatic.com/iap/verify/public_key"
IAP_ISSUERS = frozenset({"https://cloud.google.com/iap"})

SKEW_SECONDS = 30
"""How far this machine's clock may be from the signer's."""
LONGEST_SECONDS = 3600.0 + SKEW_SECONDS
"""No token of these issuers is valid for longer than an hour, so one that claims to be is none of theirs."""
DEFAULT_MAX_AGE_SECONDS = 3600.0
"""How long keys are kept that came without a word about it."""
REFRESH_SECONDS = 60.0
"""An unknown key id makes the keys be fetched again, but no more often than this: anybody can send one."""
RETRY_SECONDS = 5.0
"""So long after a fetch that failed nobody tries again: without keys every caller would, and would wait for it."""
STALE_SECONDS = 86_400.0
"""How long keys are used beyond their time while no new ones can be had."""
TOKEN_CHARACTERS = 8192
"""Longer is no token: those of Google have about a thousand characters."""


class Unauthenticated(TorporError):
    """Nobody, or somebody who is not who the token says."""

    code = "UNAUTHENTICATED"

    def __init__(self, why: str) -> None:
        super().__init__(f"the caller is not known: {why}; send a valid token as `Authorization: Bearer …`")


class KeysUnavailable(TorporError):
    """The signer's keys could not be had, so nobody can be told from anybody now."""

    code = "KEYS_UNAVAILABLE"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"the keys at {url} could not be fetched: {why}; try again later")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the token says."""

    email: str
    subject: str


class Fetch(Protocol):
    """Gets a document over HTTP."""

    def __call__(self, url: str) -> tuple[bytes, str]:
        """Its body and its `Cache-Control` header. Raises OSError or GoogleAuthError if it cannot be had."""


def fetch_over_http(url: str) -> tuple[bytes, str]:
    """Get a document with the library that google-auth uses itself."""
    from google.auth.transport.requests import Request

    answer = Request()(url, timeout=10)
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return answer.data, answer.headers.get("Cache-Control", "")


class Keys:
    """A signer's certificates by their ids, fetched when they are needed and kept as long as their server says."""

    def __init__(
        self, url: str, *, fetch: Fetch = fetch_over_http, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        """Never held while keys are fetched: whoever has a known key goes on with the old ones."""
        self._under_way: threading.Event | None = None
        """Set when the fetch ends that somebody does now."""
        self._keys: Mapping[str, str] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fresh_until = float("-inf")
        self._failed_at = float("-inf")
        self._failed_why = ""

    def having(self, key_id: str) -> Mapping[str, str]:
        """The certificates, fetched again if they are old or this one is not among them.

        Raises:
            KeysUnavailable: there are none, and none can be had, or could be had a few seconds ago.
        """
        while True:
            with self._lock:
                now = self._monotonic()
                usable = now < max(self._fetched_at + STALE_SECONDS, self._fresh_until)
                is_old = now >= self._fresh_until or key_id not in self._keys
                if usable and not (is_old and (self._under_way or now >= self._tried_at + REFRESH_SECONDS)):
                    return self._keys
                if usable and self._under_way and key_id in self._keys:
                    return self._keys
                if not usable and not self._under_way and now < self._failed_at + RETRY_SECONDS:
                    raise KeysUnavailable(self._url, self._failed_why)
                others, mine = self._under_way, threading.Event()
                if others is None:
                    self._under_way, self._tried_at = mine, now
            if others is not None:
                others.wait()
                continue
            try:
                self._refresh(usable=usable)
            finally:
                with self._lock:
                    self._under_way = None
                mine.set()

    def _refresh(self, *, usable: bool) -> None:
        try:
            body, cache_control = self._fetch(self._url)
            keys = json.loads(body)
            if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
                raise ValueError("it is not an object of certificates")
        except (OSError, ValueError, _library_error()) as error:
            with self._lock:
                self._failed_at, self._failed_why = self._monotonic(), str(error)
            unavailable = KeysUnavailable(self._url, str(error))
            if not usable:
                raise unavailable from error
            logger.warning("%s; the keys of before are used on", unavailable)
            return
        with self._lock:
            now = self._monotonic()
            self._keys, self._fetched_at, self._fresh_until = keys, now, now + _max_age(cache_control)


def _max_age(cache_control: str) -> float:
    found = re.search(r"max-age=(\d{1,9})", cache_control)
    return float(found[1]) if found else DEFAULT_MAX_AGE_SECONDS


class TokenVerifier:
    """Tells who a token speaks for.

    Args:
        audience: what the token must be made out to: the service's own URL.
        issuers: who may have made it.
        keys: the issuer's certificates.
        algorithm: the only signature that is taken, whatever the token itself says.
        says_verified: whether the issuer has to say that it has verified the e-mail address.
    """

    def __init__(
        self,
        audience: str,
        *,
        issuers: frozenset[str] = GOOGLE_ISSUERS,
        keys: Keys | None = None,
        algorithm: str = "RS256",
        says_verified: bool = True,
    ) -> None:
        self._audience = audience
        self._issuers = issuers
        self._keys = keys or Keys(GOOGLE_CERTIFICATES)
        self._algorithm = algorithm
        self._says_verified = says_verified

    def caller(self, token: str) -> Caller:
        """Who the token speaks for.

        Raises:
            Unauthenticated: it is malformed, unsigned, forged, expired, made by or for somebody else, or names nobody.
            KeysUnavailable: the signer's keys cannot be had.
        """
        key_id = self._key_id(token)
        certificates = self._keys.having(key_id)
        if key_id not in certificates:
            raise Unauthenticated("its key is none of the issuer's")
        try:
            claims = _decode(token, certificates, self._audience)
        except RecursionError as error:
            raise Unauthenticated("it is nested too deep") from error
        except (ValueError, TypeError, _library_error()) as error:
            raise Unauthenticated(_first_line(error)) from error
        return self._named(claims)

    def _key_id(self, token: str) -> str:
        if not token or len(token) > TOKEN_CHARACTERS or not token.isascii():
            raise Unauthenticated("there is no token" if not token else "it is no token")
        try:
            header = _decode_header(token)
        except (ValueError, TypeError, RecursionError, _library_error()) as error:
            raise Unauthenticated("it is no token") from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm != self._algorithm:
            raise Unauthenticated(f"it is signed by {str(algorithm)[:20]!r}, not by {self._algorithm}")
        if not isinstance(key_id, str):
            raise Unauthenticated("it names no key")
        return key_id

    def _named(self, claims: Mapping[str, Any]) -> Caller:
        if claims.get("iss") not in self._issuers:
            raise Unauthenticated("it was made by another issuer")
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise Unauthenticated("it does not say from when to when it is valid")
        if expires - issued > LONGEST_SECONDS:
            raise Unauthenticated("it claims to be valid for longer than an hour")
        email, subject = claims.get("email"), claims.get("sub")
        if not isinstance(email, str) or not isinstance(subject, str):
            raise Unauthenticated("it names nobody")
        if self._says_verified and claims.get("email_verified") is not True:
            raise Unauthenticated("its e-mail address is not verified")
        return Caller(email, subject)


def iap_verifier(audience: str, keys: Keys | None = None) -> TokenVerifier:
    """Checks the assertions of Identity-Aware Proxy about people.

    Args:
        audience: the audience of the protected service, as IAP's page shows it.
        keys: the proxy's public keys; by default Google's.
    """
    return TokenVerifier(
        audience, issuers=IAP_ISSUERS, keys=keys or Keys(IAP_CERTIFICATES), algorithm="ES256", says_verified=False
    )


# google-auth brings a cryptography library along. A server on loopback, which asks nobody, starts without both. Its
# functions have no types of their own.


def _decode(token: str, certificates: Mapping[str, str], audience: str) -> Mapping[str, Any]:
    from google.auth import jwt

    decode: Callable[..., Mapping[str, Any]] = jwt.decode
    return decode(token, certs=certificates, audience=audience, clock_skew_in_seconds=SKEW_SECONDS)


def _decode_header(token: str) -> Mapping[str, Any]:
    from google.auth import jwt

    decode: Callable[[str], Mapping[str, Any]] = jwt.decode_header
    return decode(token)


def _library_error() -> type[Exception]:
    from google.auth.exceptions import GoogleAuthError

    return GoogleAuthError


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__
