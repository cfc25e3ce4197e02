"""The client of the HTTP API: the verbs of the managers, for programs elsewhere.

from app.client import Client

with Client("https://torpor.example.com", token="torpor_…") as client:
    job = client.submit("resize", {"width": 800}, idempotency_key="order-7")
    print(client.wait(job.id).result)
"""

from app.client.asynchronous import AsyncClient
from app.client.blocking import Client
from app.client.errors import ApiError, Unreachable

__all__ = ["ApiError", "AsyncClient", "Client", "Unreachable"]
