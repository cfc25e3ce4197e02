"""The catalogue's job types; importing this package registers them."""

from app.catalog.tasks import aliases, duplicates, enrich, plans, scan, shard

__all__ = ["aliases", "duplicates", "enrich", "plans", "scan", "shard"]
