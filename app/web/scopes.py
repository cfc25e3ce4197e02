"""Who may use the API: programs by their tokens, people by what Identity-Aware Proxy says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Request

from app.cloud.oidc import Caller, TokenVerifier, Unauthenticated, iap_verifier
from app.jobs import BadInput
from app.web.auth import Forbidden, Guard, check_site, open_guard
from app.web.tokens import Scope, TokenEntry, Tokens

IAP_HEADER = "X-Goog-IAP-JWT-Assertion"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what.

    Args:
        tokens: programs; an empty one lets none in, None says that nothing is said about them.
        iap_audience: what assertions about people must be made out to; None lets no people in.
        people: scopes by e-mail address.
    """

    tokens: tuple[TokenEntry, ...] | None = None
    iap_audience: str | None = None
    people: Mapping[str, frozenset[Scope]] = field(default_factory=dict)

    @property
    def asks_nobody(self) -> bool:
        """Whether nothing is said about anybody, so that nobody can be known. No programs at all is said, too."""
        return self.tokens is None and not self.people


class ScopeGuard:
    """Lets callers in that have the scope which the route asks for.

    Args:
        tokens: programs.
        people: scopes by e-mail address.
        verifier: checks assertions about people; None lets no people in.
        scopes: what each route asks for, by its endpoint. Only a caller who is known learns that there is no route.
    """

    def __init__(
        self,
        tokens: Tokens,
        people: Mapping[str, frozenset[Scope]],
        verifier: TokenVerifier | None,
        scopes: Mapping[str, Scope],
    ) -> None:
        self._tokens = tokens
        self._people = people
        self._verifier = verifier
        self._scopes = scopes

    def check(self, call: Request) -> Caller | None:
        """See `Guard.check`."""
        assertion = call.headers.get(IAP_HEADER)
        if "Authorization" in call.headers or self._verifier is None or assertion is None:
            return self._program(call)
        person = self._verifier.caller(assertion)
        check_site(call, person.email)
        self._check_scope(call, person.email, self._people.get(person.email, frozenset()), "TORPOR_PEOPLE")
        return person

    def _program(self, call: Request) -> Caller:
        kind, _, token = call.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("there is no token")
        entry = self._tokens.find(token.strip())
        if entry is None:
            raise Unauthenticated("there is no such token")
        self._check_scope(call, entry.name, entry.scopes, "TORPOR_API_TOKENS")
        return Caller(entry.name, f"token:{entry.name}")

    def _check_scope(self, call: Request, name: str, scopes: frozenset[Scope], setting: str) -> None:
        wanted = self._scopes.get(call.endpoint or "")
        if wanted is not None and wanted not in scopes and Scope.ADMIN not in scopes:
            raise Forbidden(name, f"{call.method} {call.path}", f"it takes the scope `{wanted}` in {setting}")


def api_guard_of(
    host: str, access: Access, scopes: Mapping[str, Scope], verifier: TokenVerifier | None = None
) -> Guard:
    """The guard of the API's server.

    Args:
        host: where it listens.
        access: who may do what.
        scopes: what each route asks for, by its endpoint.
        verifier: checks assertions about people; by default Google's.

    Raises:
        BadInput: nobody could call anything, or there would be no authentication on a server that others can reach.
    """
    if access.iap_audience is not None and not access.people:
        raise BadInput("people", "nobody may do anything", "give people their scopes by e-mail address")
    if access.people and access.iap_audience is None:
        raise BadInput("iap_audience", "is not set, so nobody can be known", "set it to IAP's audience of this service")
    if access.asks_nobody:
        return open_guard(host, "api_tokens", "set TORPOR_API_TOKENS, or TORPOR_IAP_AUDIENCE and TORPOR_PEOPLE")
    if verifier is None and access.iap_audience is not None:
        verifier = iap_verifier(access.iap_audience)
    return ScopeGuard(Tokens(access.tokens or ()), access.people, verifier, scopes)
