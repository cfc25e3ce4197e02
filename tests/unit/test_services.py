"""What tests are told about services that are not there."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.services.emulator_jar import FIRESTORE, JARS, EmulatorJar
from tests.services.reach import reached
from tests.services.shared_data import find_shared_data
from tests.services.unavailable import ServiceUnavailable


class _Missing(AbstractContextManager[str]):
    def __enter__(self) -> str:
        raise ServiceUnavailable("no such server: start it")

    def __exit__(self, *_: object) -> None:
        return None


def test_a_missing_service_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no such server: start it"):
        next(reached(_Missing()))


def test_a_missing_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no such server: start it"):
        next(reached(_Missing()))


@pytest.mark.parametrize("emulator", JARS.values(), ids=JARS)
def test_a_named_jar_that_is_missing_is_refused_by_name(
    emulator: EmulatorJar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = tmp_path / "emulator.jar"
    monkeypatch.setenv(emulator.variable, str(jar))

    with pytest.raises(ServiceUnavailable, match=rf"emulator\.jar.*{emulator.package}.*{emulator.variable}"):
        emulator.find()


def test_a_named_jar_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jar = tmp_path / "emulator.jar"
    jar.touch()
    monkeypatch.setenv("TORPOR_TEST_FIRESTORE_JAR", str(jar))

    assert FIRESTORE.find() == jar


def test_real_data_is_looked_for_beside_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORPOR_TEST_DATA", raising=False)
    checkout, data = tmp_path / "checkout", tmp_path / "shared" / "data"

    with pytest.raises(ServiceUnavailable, match="TORPOR_TEST_DATA"):
        find_shared_data(checkout)
    data.mkdir(parents=True)
    assert find_shared_data(checkout) == data
