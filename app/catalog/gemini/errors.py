"""What can become of a call besides an answer."""

from __future__ import annotations

from app.catalog.errors import CatalogError
from app.catalog.spending import Spending
from app.jobs import PermanentError, RetryLater

RETRY_SECONDS = 30.0


class ModelUnavailable(RetryLater):
    """The model did not answer now: too slow, overloaded, over its quota, or not to be reached. The job tries again."""

    code = "MODEL_UNAVAILABLE"

    def __init__(self, model: str, problem: str, seconds: float = RETRY_SECONDS) -> None:
        super().__init__(seconds, f"{model} did not answer: {problem}; it is asked again in {seconds:g} s")


class ModelRefused(PermanentError):
    """The model will not answer this process: there is none, it may not be called, or the request is not taken."""

    code = "MODEL_REFUSED"

    def __init__(self, model: str, problem: str) -> None:
        super().__init__(
            f"{model} refused: {problem}; check TORPOR_CATALOG_GEMINI_PROJECT, _LOCATION and _MODEL, "
            "and that the process's account has the role roles/aiplatform.user"
        )


class UnusableAnswer(CatalogError):
    """An answer came and is of no use: blocked, cut off, or not what was asked for. `spent` is what it cost."""

    def __init__(self, model: str, problem: str, spent: Spending) -> None:
        self.problem = problem
        self.spent = spent
        super().__init__(f"the answer of {model} cannot be used: {problem}")
