"""The store on SQL databases, through SQLAlchemy's tables, types and compiler and the drivers' own connections."""

from app.stores.sql.store import DatabaseJobStore

__all__ = ["DatabaseJobStore"]
