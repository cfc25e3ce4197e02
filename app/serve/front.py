"""Two applications behind one address."""

from __future__ import annotations

from collections.abc import Iterable, Set
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def front(web: WSGIApplication, worker: WSGIApplication, routes: Set[str]) -> WSGIApplication:
    """One application out of two.

    Args:
        web: answers everything else.
        worker: answers its own routes.
        routes: which those are.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chosen = worker if environ.get("PATH_INFO") in routes else web
        return chosen(environ, start_response)

    return application
