"""What a start costs before there is any engine: Flask and gunicorn, and with the libraries that the SQL store has.

gunicorn serves `app` from here. With BENCH_DATABASE, a request reads one row of that database through SQLAlchemy, by
settings that pydantic has read; without, it reads nothing.
"""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify

app = Flask("bench.bare")
_URL = os.environ.get("BENCH_DATABASE")

if _URL:
    from pydantic_settings import BaseSettings
    from sqlalchemy import create_engine, text

    class Settings(BaseSettings):
        """As few as there can be."""

        bench_database: str

    engine = create_engine(Settings().bench_database)


@app.get("/readyz")
def ready() -> Response:
    """Read one row, if there is anything to read from."""
    if _URL:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1")).one()
    return jsonify(status="ready")
