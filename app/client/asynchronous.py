"""`AsyncClient`: the verbs of `AsyncJobManager` over HTTP, with its names, its answers and its errors."""

from __future__ import annotations

from app.client.engine_verbs import EngineVerbs
from app.client.job_verbs import JobVerbs


class AsyncClient(JobVerbs, EngineVerbs):
    """Creates, steers and reads jobs through a server. Close it, or use it as a context manager.

    Every verb raises what the manager's verb of that name raises, `ApiError` for what the server refuses besides
    (an unknown token, a missing scope), and `Unreachable` if it does not answer.
    """
