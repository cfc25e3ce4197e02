"""Tables on a server that are made once and emptied between tests: making them takes a server longer than a test."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, delete, inspect, table

from app.stores.schema import BY_NAME
from app.stores.sql.address import address_of
from app.stores.sql.tables import Naming


class SqlTables:
    """The tables with one prefix, on any number of servers."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._engines: dict[str, Engine] = {}

    def emptied(self, url: str) -> str:
        """Empty what tables there are on a server (a store makes them when it is opened); gives their prefix."""
        if url not in self._engines:
            # Other tests of this process may have let the server end every connection.
            self._engines[url] = create_engine(address_of(url), pool_pre_ping=True)
        names = [Naming(self.prefix).table(collection) for collection in BY_NAME]
        with self._engines[url].begin() as connection:
            if inspect(connection).has_table(names[0]):
                for name in names:
                    connection.execute(delete(table(name)))
        return self.prefix

    def close(self) -> None:
        """Let go of the connections."""
        for engine in self._engines.values():
            engine.dispose()
