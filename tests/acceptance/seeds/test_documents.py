"""Nothing of the seeds is forgotten, bent, or called unfinished when it is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest

from tests.acceptance.seeds.document import adapted, samples_in
from tests.acceptance.seeds.later import LATER, LATER_DOCUMENTS, LATER_FUNCTIONS, PARTLY, Later
from tests.acceptance.seeds.sample import Namespace, Sample, free_names, stored_samples

COVERED = ("000", "001", "002", "003", "004")


def numbers(names: Iterable[str]) -> set[str]:
    return {name[: len("000_00")] for name in names}


def test_stored_samples_are_those_of_the_documents_but_for_import_lines(seeds: dict[str, Path]) -> None:
    real = {number: code for seed in COVERED for number, code in samples_in(seeds[seed]).items()}
    stored = {name[: len("000_00")]: source for name, source in stored_samples().items()}
    assert stored == {number: code for number, code in real.items() if number not in numbers(LATER)}
    assert numbers(LATER) <= set(real)


def test_every_document_is_covered_or_named_as_later(seeds: dict[str, Path]) -> None:
    assert set(seeds) == {*COVERED, *LATER_DOCUMENTS}


def test_only_the_module_of_an_import_line_is_adapted() -> None:
    code = "from ..base import A, B\nx = 'from ..base import'\nfrom typing import List\n"
    assert adapted(code) == "from app.jobs import A, B\nx = 'from ..base import'\nfrom typing import List\n"


def test_what_runs_is_not_later_and_what_runs_partly_runs() -> None:
    stored = set(stored_samples())
    assert not stored & set(LATER)
    assert set(PARTLY) <= stored


@pytest.mark.parametrize(
    ("name", "later"), [*LATER.items(), *LATER_DOCUMENTS.items(), *PARTLY.items(), *LATER_FUNCTIONS.items()]
)
def test_what_is_called_later_is_not_there_yet(name: str, later: Later) -> None:
    try:
        resolve_name(later.missing)
    except (ImportError, AttributeError):
        return
    pytest.fail(f"{later.missing} is there: let {name} run in full, and take it off the list of {later.why}")


@pytest.mark.parametrize(
    ("code", "free"),
    [
        ("job = await manager.submit(JobType.A, payload={'x': y})\nprint(job)", {"manager", "JobType", "y"}),
        ("from m import a\nimport b\na(b, c)", {"c"}),
        ("async for p in feed(job_id):\n    print(p)", {"feed", "job_id"}),
        ("@job('x')\nclass A(Base[R]):\n    def f(self, c: C) -> R:\n        return v", {"job", "Base", "R", "C", "v"}),
        ("n = 1\ndef f():\n    return n + m", {"m"}),
    ],
)
def test_free_names_are_those_that_the_code_does_not_bind(code: str, free: set[str]) -> None:
    assert free_names(code) == free


def test_a_prelude_and_a_happening_may_set_only_names_that_the_sample_leaves_free() -> None:
    sample = Sample("001_09_cleanup")
    with pytest.raises(AssertionError, match="deleted_count"):
        sample.run({"job_manager": None, "deleted_count": 3})

    def bend(names: Namespace) -> None:
        names["print"] = lambda text: None

    with pytest.raises(AssertionError, match="print"):
        sample.run({"job_manager": SimpleNamespace(cleanup_old_jobs=lambda: 3)}, before={"print(": bend})
