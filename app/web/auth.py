"""Who may call which route. Off only on a loopback server, and then it says so."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Request, g, request

from app.cloud.oidc import Caller, TokenVerifier, Unauthenticated
from app.jobs import BadInput, TorporError
from app.web.loopback import is_loopback

logger = logging.getLogger(__name__)

OPEN_ROUTES = frozenset({"/healthz", "/readyz"})
"""The platform asks these without a token."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})
"""What a browser says in Sec-Fetch-Site of a call that no other site has caused."""
FAILURES = 20
"""So many calls without a valid token from one address, and so many of one caller that it may not make, are refused one
by one in each window; then they are told to wait."""
WINDOW_SECONDS = 60.0
REMEMBERED = 10_000
"""Addresses, or callers, that are remembered at most: the longest quiet are forgotten."""


class Forbidden(TorporError):
    """Somebody known who may not do this."""

    code = "FORBIDDEN"

    def __init__(self, email: str, route: str, remedy: str = "name the route for it in TORPOR_OIDC_CALLERS") -> None:
        self.email = email
        super().__init__(f"{email} may not call {route}; {remedy}")


class CrossSite(Forbidden):
    """A change that another site's page asked a person's browser for."""

    code = "CROSS_SITE"

    def __init__(self, email: str, route: str, origin: str) -> None:
        super().__init__(email, route, f"the call comes from {origin[:200]!r}; make changes from this site's own pages")


class TooManyFailures(TorporError):
    """An address that has sent too many invalid tokens, or a caller that has tried too often what it may not."""

    code = "TOO_MANY_FAILURES"

    def __init__(self, calls: str) -> None:
        super().__init__(f"too many calls {calls}; try again in a minute")


class Guard(Protocol):
    """Tells who calls and whether they may."""

    def check(self, call: Request) -> Caller | None:
        """Who calls; None where nobody is asked.

        Raises:
            Unauthenticated, Forbidden: the call is refused.
        """


class OpenGuard:
    """Lets everybody in. For a server that only this machine can reach, and that other sites' pages in its browsers do
    not."""

    def check(self, call: Request) -> Caller | None:
        """Nobody is asked.

        Raises:
            Forbidden: it is another site's page that asks, or one that has given this machine's address its own name.
        """
        name = _parts(f"//{call.host}").hostname or ""
        if not is_loopback(name):
            remedy = "ask for localhost, or set TORPOR_API_TOKENS or TORPOR_OIDC_AUDIENCE so that callers are known"
            raise Forbidden(f"who asks for {name[:200]!r}", call.path, remedy)
        check_site(call, "a browser")
        return None


def check_site(call: Request, email: str) -> None:
    """Refuse what another site's page asks a browser for: it sends a person's session along whichever page that is.

    Args:
        call: the request.
        email: whose it would be.

    Raises:
        CrossSite: the browser says that it is such a page.
    """
    if call.method in READING and call.headers.get("Upgrade", "").lower() != "websocket":
        return  # another site's page may cause it, but does not get to read the answer; over a WebSocket it would
    site = call.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in OWN_SITE:
            raise CrossSite(email, call.path, call.headers.get("Origin", site))
        return
    origin = call.headers.get("Origin")
    if origin is not None and _parts(origin).netloc != call.host:
        raise CrossSite(email, call.path, origin)


def _parts(url: str) -> SplitResult:
    """The parts of an address, all of them empty if it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


class CallerGuard:
    """Lets service accounts in, each to its own routes.

    Args:
        verifier: checks tokens.
        callers: routes by e-mail address.
    """

    def __init__(self, verifier: TokenVerifier, callers: Mapping[str, frozenset[str]]) -> None:
        self._verifier = verifier
        self._callers = callers

    def check(self, call: Request) -> Caller | None:
        """See `Guard.check`."""
        kind, _, token = call.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("there is no token")
        caller = self._verifier.caller(token.strip())
        if call.path not in self._callers.get(caller.email, frozenset()):
            raise Forbidden(caller.email, call.path)
        return caller


class FailureLimit:
    """Counts refused calls by who made them, so that guessing and flooding cost the caller more than the server.

    Args:
        calls: what is counted, for the answer.
        monotonic: tells the time.
    """

    def __init__(
        self, calls: str = "without a valid token", *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls = calls
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, who: str) -> None:
        """Refuse an address, or a caller, that has failed too often.

        Raises:
            TooManyFailures: it has to wait.
        """
        with self._lock:
            began, failures = self._failures.get(who, (0.0, 0))
            if failures >= FAILURES and self._monotonic() < began + WINDOW_SECONDS:
                raise TooManyFailures(self._calls)

    def failed(self, who: str) -> None:
        """Count one more."""
        with self._lock:
            now = self._monotonic()
            began, failures = self._failures.pop(who, (now, 0))
            if now >= began + WINDOW_SECONDS:
                began, failures = now, 0
            self._failures[who] = (began, failures + 1)
            while len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)


def protect(app: Flask, guard: Guard) -> None:
    """Let every route of an application ask the guard first, but for the platform's own.

    Who is known shares its address with others, Google's callers most of all: what it may not do is held against
    itself, and does not keep it from what it may.
    """
    unknown = FailureLimit()
    forbidden = FailureLimit("that this caller may not make")

    @app.before_request
    def check() -> None:
        if request.path in OPEN_ROUTES:
            return
        address = request.remote_addr or "unknown"
        unknown.check(address)
        try:
            g.caller = guard.check(request)
        except Unauthenticated as refused:
            unknown.failed(address)
            logger.warning("%s from %s was refused: %s", request.path, address, refused)
            raise
        except Forbidden as refused:
            if not isinstance(guard, OpenGuard):  # there it is a page's doing, and nobody is known
                forbidden.check(refused.email)
                forbidden.failed(refused.email)
            logger.warning("%s from %s was refused: %s", request.path, address, refused)
            raise


def guard_of(host: str, audience: str | None, callers: Mapping[str, frozenset[str]]) -> Guard:
    """The guard of a worker's server.

    Args:
        host: where it listens.
        audience: what tokens must be made out to: the service's URL; None for no authentication.
        callers: routes by the service accounts that may call them.

    Raises:
        BadInput: there would be no authentication on a server that others can reach.
    """
    if audience is not None:
        if not callers:
            raise BadInput("oidc_callers", "nobody may call anything", "name service accounts and their routes")
        return CallerGuard(TokenVerifier(audience), callers)
    return open_guard(host, "oidc_audience", "set TORPOR_OIDC_AUDIENCE and TORPOR_OIDC_CALLERS")


def open_guard(host: str, setting: str, remedy: str) -> OpenGuard:
    """The guard of a server where nobody is asked, which only loopback may have.

    Args:
        host: where it listens.
        setting: what is not set.
        remedy: what would have to be.

    Raises:
        BadInput: others can reach it.
    """
    if not is_loopback(host):
        problem = f"is not set, and {host} can be reached from elsewhere"
        raise BadInput(setting, problem, f"{remedy}, or listen on 127.0.0.1")
    logger.warning("authentication is off: this server listens on %s and takes every call", host)
    return OpenGuard()
