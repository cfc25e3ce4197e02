"""The catalogue's job types; importing this package registers them."""

from app.catalog.tasks import enrich, scan, shard

__all__ = ["enrich", "scan", "shard"]
