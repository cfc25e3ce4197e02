"""Gemini on Vertex AI as enricher and as repairer. It needs the extra `gemini`; only who uses it imports it."""

from app.catalog.gemini.enricher import GeminiEnricher
from app.catalog.gemini.errors import ModelRefused, ModelUnavailable, UnusableAnswer
from app.catalog.gemini.model import Answer, GeminiModel
from app.catalog.gemini.prices import Price, list_price
from app.catalog.gemini.repairer import GeminiRepairer

__all__ = [
    "Answer",
    "GeminiEnricher",
    "GeminiModel",
    "GeminiRepairer",
    "ModelRefused",
    "ModelUnavailable",
    "Price",
    "UnusableAnswer",
    "list_price",
]
