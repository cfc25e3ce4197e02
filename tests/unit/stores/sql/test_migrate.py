"""The revision that is taken for the newest is the newest."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from app.stores.sql.migrate import HEAD, SCRIPTS


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
