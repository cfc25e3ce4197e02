"""A server on loopback that speaks as much of the Vertex AI API as `generateContent`, in the place of Google's."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from google.oauth2.credentials import Credentials

PROJECT, LOCATION, MODEL, TOKEN = "a-project", "europe-west4", "gemini-2.5-flash", "a-token"
_PATH = re.compile(
    r"^/v1/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/google/models/(?P<model>[^/:]+)"
    r":generateContent$"
)
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers to one question."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Whether it says nothing until the server is closed."""
    breaks: bool = False
    """Whether it hangs up without an answer."""


def says(answer: Any, *, prompt_tokens: int = 100, output_tokens: int = 20, thoughts: int = 0) -> Reply:
    """The model says this JSON value; a text is said as it is."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return response(
        candidates=[{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}],
        usageMetadata={
            "promptTokenCount": prompt_tokens,
            "candidatesTokenCount": output_tokens,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": prompt_tokens + output_tokens + thoughts,
        },
        modelVersion=MODEL,
    )


def stopped(reason: str, text: str = "") -> Reply:
    """The model stopped for another reason than that it had said everything."""
    parts = [{"text": text}] if text else []
    return response(
        candidates=[{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        usageMetadata={"promptTokenCount": 100, "totalTokenCount": 100},
    )


def response(**fields: Any) -> Reply:
    """A response of the API with these fields."""
    return Reply(json.dumps(fields).encode(), headers={"Content-Type": "application/json; charset=UTF-8"})


def error(code: int, status: str, message: str = "it did not work", **headers: str) -> Reply:
    """An error as Google's APIs write them."""
    body = json.dumps({"error": {"code": code, "message": message, "status": status}}).encode()
    return Reply(body, code, {"Content-Type": "application/json; charset=UTF-8", **headers})


@dataclass(frozen=True, slots=True)
class Question:
    """What the server was asked."""

    project: str
    location: str
    model: str
    authorization: str
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The text of the question."""
        return "".join(part["text"] for content in self.body["contents"] for part in content["parts"])

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema that the answer is to have."""
        found: dict[str, Any] = self.body["generationConfig"]["responseJsonSchema"]
        return found


class VertexServer:
    """Answers questions in the order of its replies; the last one is given again and again.

    Args:
        replies: what it answers.
    """

    def __init__(self, *replies: Reply) -> None:
        self.questions: list[Question] = []
        self._replies = deque(replies)
        self._closing = threading.Event()
        vertex = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                vertex._answer(self, body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What makes a `GeminiModel` ask it."""
        return {
            "project": PROJECT,
            "location": LOCATION,
            "model": MODEL,
            "endpoint": self.endpoint,
            "credentials": Credentials(token=TOKEN),  # type: ignore[no-untyped-call]
        }

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        match = _PATH.match(request.path)
        if match is None:
            self._send(request, error(404, "NOT_FOUND", f"there is no {request.path}"))
            return
        self.questions.append(
            Question(**match.groupdict(), authorization=request.headers["Authorization"], body=json.loads(body))
        )
        reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
        if reply.hangs:
            self._closing.wait(_PATIENCE_SECONDS)
        if reply.hangs or reply.breaks:
            request.close_connection = True
        else:
            self._send(request, reply)

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, reply: Reply) -> None:
        request.send_response(reply.status)
        for name, value in reply.headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(reply.body)))
        request.end_headers()
        request.wfile.write(reply.body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE_SECONDS)
