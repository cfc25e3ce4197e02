"""Asking Gemini on Vertex AI for JSON of a given shape, with a time-out and a record of what each call cost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import errors, types

from app.catalog.gemini.errors import ModelRefused, ModelUnavailable, UnusableAnswer
from app.catalog.gemini.prices import Price, list_price
from app.catalog.spending import Spending
from app.jobs import Clock, SystemClock

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "gemini-2.5-flash"
DEFAULT_LOCATION = "global"
TIMEOUT_SECONDS = 60.0
MAX_OUTPUT_TOKENS = 8_192
"""Enough for the texts of one exercise and for any sensible number of fixes; it bounds what one call can cost."""
MAX_WAIT_SECONDS = 3_600.0
"""The longest wait that a server may ask for."""
_TRY_AGAIN = frozenset({408, 409, 425, 429, 499})
_API_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, and what that cost."""

    data: Mapping[str, Any]
    """The JSON object. Nothing in it is checked but that it is one."""
    spent: Spending


class GeminiModel:
    """One model of one project. Nothing is opened before the first question.

    Args:
        project: the Google Cloud project that is billed.
        location: where the model runs, such as "global" or "europe-west4".
        model: the model's name.
        timeout_seconds: how long one question may take in all.
        price: what tokens cost; by default the list price, if it is known.
        endpoint: another address than Vertex AI's, for tests and proxies.
        credentials: by default those of the process.
        clock: measures how long answers took.
    """

    def __init__(
        self,
        project: str,
        *,
        location: str = DEFAULT_LOCATION,
        model: str = DEFAULT_MODEL,
        timeout_seconds: float = TIMEOUT_SECONDS,
        price: Price | None = None,
        endpoint: str | None = None,
        credentials: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = model
        self._timeout = timeout_seconds
        self._price = price or list_price(model)
        self._clock = clock or SystemClock()
        # Without retry options the client tries once: trying again is the engine's affair, and counted there.
        options = types.HttpOptions(base_url=endpoint, api_version=_API_VERSION, timeout=round(timeout_seconds * 1000))
        self._client = genai.Client(
            enterprise=True, project=project, location=location, credentials=credentials, http_options=options
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aio.aclose()

    async def ask(self, purpose: str, *, system: str, prompt: str, schema: Mapping[str, Any]) -> Answer:
        """Ask one question.

        Args:
            purpose: what for, in the log.
            system: how to work.
            prompt: what is asked.
            schema: JSON Schema of the answer, an object.

        Raises:
            ModelUnavailable: it may answer later.
            ModelRefused: it will not.
            UnusableAnswer: it answered, and that is of no use.
        """
        config = types.GenerateContentConfig(
            system_instruction=system,
            temperature=0.0,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            response_mime_type="application/json",
            response_json_schema=dict(schema),
        )
        began = self._clock.monotonic()
        outcome, spent = "failed", Spending(calls=1)
        try:
            response = await self._send(prompt, config)
            spent = self._spent(response)
            data = self._read(response, spent)
            outcome = "answered"
            return Answer(data, spent)
        except UnusableAnswer as unusable:
            outcome, spent = unusable.problem, unusable.spent
            raise
        finally:
            self._note(purpose, outcome, spent, self._clock.monotonic() - began)

    async def _send(self, prompt: str, config: types.GenerateContentConfig) -> types.GenerateContentResponse:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.aio.models.generate_content(model=self.name, contents=prompt, config=config)
        except TimeoutError as late:
            raise ModelUnavailable(self.name, f"nothing within {self._timeout:g} s") from late
        except errors.APIError as error:
            raise self._failed(error) from error
        except (httpx.TimeoutException, httpx2.TimeoutException) as late:
            raise ModelUnavailable(self.name, f"nothing within {self._timeout:g} s") from late
        except (httpx.HTTPError, httpx2.HTTPError) as error:
            raise ModelUnavailable(self.name, f"{type(error).__name__}: {error}") from error
        except GoogleAuthError as error:
            raise ModelRefused(self.name, f"no credentials: {error}") from error
        except ValueError as error:  # no JSON, or JSON that is no response
            raise UnusableAnswer(self.name, "it is no response of the API", Spending(calls=1, unusable=1)) from error

    def _failed(self, error: errors.APIError) -> ModelUnavailable | ModelRefused:
        problem = f"{error.code} {error.status or ''} {error.message or ''}".strip()
        if error.code in _TRY_AGAIN or error.code >= 500:
            headers = getattr(error.response, "headers", None) or {}
            asked = str(headers.get("retry-after", ""))
            if asked.isdigit():
                return ModelUnavailable(self.name, problem, min(float(asked), MAX_WAIT_SECONDS))
            return ModelUnavailable(self.name, problem)
        return ModelRefused(self.name, problem)

    def _spent(self, response: types.GenerateContentResponse) -> Spending:
        usage = response.usage_metadata
        if usage is None:
            return Spending(calls=1)
        prompt = usage.prompt_token_count or 0
        output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        cost = 0 if self._price is None else self._price.microdollars(prompt, output)
        return Spending(calls=1, prompt_tokens=prompt, output_tokens=output, microdollars=cost)

    def _read(self, response: types.GenerateContentResponse, spent: Spending) -> Mapping[str, Any]:
        problem = _blocked(response)
        data: Any = None
        if problem is None:
            try:
                data = json.loads(response.text or "")
            except ValueError:
                problem = "it is not JSON"
            else:
                problem = None if isinstance(data, dict) else "it is no JSON object"
        if problem is not None:
            raise UnusableAnswer(self.name, problem, spent + Spending(unusable=1))
        return dict(data)

    def _note(self, purpose: str, outcome: str, spent: Spending, seconds: float) -> None:
        logger.info(
            "%s asked to %s: %s, %d+%d tokens, US$ %.6f, %.1f s",
            self.name,
            purpose,
            outcome,
            spent.prompt_tokens,
            spent.output_tokens,
            spent.microdollars / 1e6,
            seconds,
        )


def _blocked(response: types.GenerateContentResponse) -> str | None:
    """Why there is no whole answer in the response, None if there is one."""
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        return f"the question was blocked: {feedback.block_reason.value}"
    candidates = response.candidates or []
    if not candidates:
        return "it is empty"
    reason = candidates[0].finish_reason
    if reason is None or reason is types.FinishReason.STOP:
        return None
    return "it was cut off" if reason is types.FinishReason.MAX_TOKENS else f"it was blocked: {reason.value}"
