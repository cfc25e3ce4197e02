"""The services that other integration tests stand on are the real ones, and each session has its own part of them."""

from pathlib import Path

import pytest
from google.api_core.exceptions import FailedPrecondition
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from sqlalchemy import create_engine, inspect, make_url, text

from tests.services.scratch_database import MYSQL, POSTGRES, DatabaseServer, scratch_database


def test_the_emulator_refuses_a_write_under_a_stale_precondition(
    firestore_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    client = firestore.Client(project="torpor-services", credentials=AnonymousCredentials())
    document = client.collection("probe").document()
    first = document.set({"value": 1}).update_time
    document.set({"value": 2})

    with pytest.raises(FailedPrecondition):
        document.update({"value": 3}, option=client.write_option(last_update_time=first))

    assert document.get().to_dict() == {"value": 2}
    client.close()


@pytest.mark.parametrize(("server", "fixture"), [(POSTGRES, "postgres_url"), (MYSQL, "mysql_url")])
def test_a_scratch_database_is_empty_and_gone_afterwards(
    request: pytest.FixtureRequest, server: DatabaseServer, fixture: str
) -> None:
    request.getfixturevalue(fixture)  # skips, or fails in CI, where the server is missing
    with scratch_database(server) as address:
        url = make_url(address)
        engine = create_engine(url.set(drivername=server.driver))
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE probe (id INTEGER PRIMARY KEY)"))
            connection.commit()
            assert inspect(connection).get_table_names() == ["probe"]
        engine.dispose()

    admin = create_engine(make_url(server.url).set(drivername=server.driver))
    with admin.connect() as connection:
        names = connection.execute(text("SELECT schema_name FROM information_schema.schemata")).scalars().all()
        if server is POSTGRES:
            names = connection.execute(text("SELECT datname FROM pg_database")).scalars().all()
    admin.dispose()
    assert url.database not in names


def test_the_real_catalogue_is_readable(shared_data: Path) -> None:
    assert (shared_data / "exercises" / "free-exercise-db.json").stat().st_size > 0
