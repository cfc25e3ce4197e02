"""The stores are found by name in one place, and none is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import app.stores


@pytest.mark.parametrize("name", app.stores.__all__)
def test_each_store_is_found(name: str) -> None:
    assert getattr(find(name), "__name__", None) == name


def find(name: str) -> object:
    return getattr(app.stores, name)


def test_an_unknown_name_is_told_with_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'RedisJobStore'; it has: DatabaseJobStore, FileJobStore"):
        find("RedisJobStore")


def test_importing_one_store_imports_no_driver_of_another() -> None:
    program = (
        "import sys; from app.stores import FileJobStore, MemoryJobStore;"
        "print(sorted({'sqlalchemy', 'alembic', 'google', 'grpc', 'psycopg', 'pymysql', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
