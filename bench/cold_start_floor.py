"""The floor under a cold start on Firestore: Flask, gunicorn and Google's client, and no engine at all.

gunicorn serves `app` from here; the environment names the project. A request reads one document, as the engine's
readiness does.
"""

from __future__ import annotations

from flask import Flask, Response, jsonify
from google.cloud import firestore

app = Flask("bench.floor")
client = firestore.Client()


@app.get("/readyz")
def ready() -> Response:
    """Read one document, which need not exist."""
    found = client.document("jobs/readiness").get()
    return jsonify(status="ready", exists=found.exists)
