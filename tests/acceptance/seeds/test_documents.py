"""Nothing of the seeds is forgotten or bent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.acceptance.seeds.document import adapted, samples_in
from tests.acceptance.seeds.sample import Namespace, Sample, free_names, stored_samples


def test_stored_samples_are_those_of_the_documents_but_for_import_lines(seeds: dict[str, Path]) -> None:
    real = {number: code for document in seeds.values() for number, code in samples_in(document).items()}
    stored = {name[: len("000_00")]: source for name, source in stored_samples().items()}
    assert stored == real, "none is left out"
    assert {number[:3] for number in real} | {"004"} == set(seeds), "seed 004 has no code, but diagrams of calls"


def test_only_the_module_of_an_import_line_is_adapted() -> None:
    code = "from ..base import A, B\nx = 'from ..base import'\nfrom typing import List\n"
    assert adapted(code) == "from app.jobs import A, B\nx = 'from ..base import'\nfrom typing import List\n"


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
