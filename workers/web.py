"""The API, and the streams of those who follow jobs."""

from __future__ import annotations

from app.bootstrap import make_web_app

app = make_web_app()
