"""A database of the test session's own, on a server that runs already."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from tests.services.unavailable import ServiceUnavailable


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """One kind of SQL server: where tests look for it and how a database of it is dropped."""

    name: str
    url_variable: str
    default_url: str
    driver: str
    drop: str
    """The statement, with `{}` for the database."""

    @property
    def url(self) -> str:
        """Where the server is: the variable's URL, else the default one."""
        return os.environ.get(self.url_variable, self.default_url)


POSTGRES = DatabaseServer(
    name="PostgreSQL",
    url_variable="TORPOR_TEST_PG_URL",
    default_url="postgresql://postgres@127.0.0.1:5432/postgres",
    driver="postgresql+psycopg",
    # A test that was stopped half-way may have left connections open, which would keep a plain drop waiting.
    drop="DROP DATABASE {} WITH (FORCE)",
)
MYSQL = DatabaseServer(
    name="MariaDB or MySQL",
    url_variable="TORPOR_TEST_MYSQL_URL",
    default_url="mysql://root@127.0.0.1:3306/",
    driver="mysql+pymysql",
    drop="DROP DATABASE {}",
)


@contextmanager
def scratch_database(server: DatabaseServer) -> Iterator[str]:
    """Create a database with a random name and give its URL, without a driver in it; drop it when the block ends.

    Raises:
        ServiceUnavailable: the server does not answer, or refuses to create the database.
    """
    url = make_url(server.url)
    name = f"torpor_test_{secrets.token_hex(6)}"
    admin = create_engine(
        url.set(drivername=server.driver),
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": 5},
    )
    try:
        try:
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
        except SQLAlchemyError as error:
            raise ServiceUnavailable(
                f"{server.name} at {url.render_as_string()} gave no database: {error}\n"
                f"Start it, or set {server.url_variable} to a URL whose user may create databases."
            ) from error
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                connection.execute(text(server.drop.format(name)))
    finally:
        admin.dispose()
