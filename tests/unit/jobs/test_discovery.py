"""Finding job types: what is broken is reported, and hides nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from app.jobs import JobRegistry, discover

_numbers = count(1)


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a package that no other test has imported."""
    name = f"discovered_{next(_numbers)}"
    path = list(sys.path)
    yield name
    sys.path[:] = path
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]
    for definition in list(JobRegistry.registry):
        if definition.origin.startswith(name):
            JobRegistry.registry.remove(definition.type)


def package(folder: Path, name: str, **modules: str) -> None:
    """A package of these modules; `a__b` is module b of sub-package a."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, code in modules.items():
        file = (folder / name).joinpath(*module.split("__")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(dedent(code))


def task(job_type: str) -> str:
    return f"""
        from app.jobs import job
        @job({job_type!r})
        async def handler(): ...
    """


def test_every_module_is_imported_sub_packages_included(tmp_path: Path, name: str) -> None:
    package(tmp_path, name, one=task(f"{name}-1"), deep__two=task(f"{name}-2"))
    (tmp_path / name / "__main__.py").write_text("raise RuntimeError")
    found = discover([name], look_in=tmp_path)
    assert (found.failures, set(found.modules)) == ([], {name, f"{name}.one", f"{name}.deep", f"{name}.deep.two"})
    assert {f"{name}-1", f"{name}-2"} <= set(JobRegistry.list_jobs())


@pytest.mark.parametrize(
    ("code", "error", "line"),
    [
        ("import json\nimport no_such_module", "ModuleNotFoundError: No module named 'no_such_module'", 2),
        ("x = 1\n\nx.y", "AttributeError: 'int' object has no attribute 'y'", 3),
        ("def f(:", "SyntaxError: invalid syntax", 1),
        ("raise SystemExit(3)", "SystemExit: 3", 1),
        ("\nfrom app.jobs import job\n@job('x', colour=1)\nasync def f(): ...", "BadInput: colour: ", 3),
    ],
    ids=["import", "attribute", "syntax", "exit", "option"],
)
def test_a_broken_module_is_reported_with_file_and_line_and_the_others_load(
    tmp_path: Path, name: str, code: str, error: str, line: int, caplog: pytest.LogCaptureFixture
) -> None:
    package(tmp_path, name, a=task(f"{name}-a"), broken=code, z=task(f"{name}-z"))
    found = discover([name], look_in=tmp_path)
    (failure,) = found.failures
    assert failure.module == f"{name}.broken"
    assert failure.error.startswith(error)
    if error.startswith("BadInput"):
        assert failure.file.startswith(str(tmp_path / name / "broken.py")) or "app/jobs/" in failure.file
    else:
        assert failure.file == f"{tmp_path / name / 'broken.py'}:{line}"
    assert {f"{name}-a", f"{name}-z"} <= set(JobRegistry.list_jobs())
    assert f"task module {name}.broken was not loaded: {error}" in caplog.text


def test_a_duplicate_type_is_a_failure_of_its_module(tmp_path: Path, name: str) -> None:
    package(tmp_path, name, a=task(f"{name}-a"), b=task(f"{name}-a"))
    (failure,) = discover([name], look_in=tmp_path).failures
    assert failure.module == f"{name}.b"
    assert failure.error.startswith("DuplicateJobType: type: ")


def test_a_package_that_is_not_there(name: str, tmp_path: Path) -> None:
    (failure,) = discover([name], look_in=tmp_path).failures
    assert (failure.module, failure.error) == (name, f"ModuleNotFoundError: No module named '{name}'")
    assert failure.file == name


def test_a_broken_package_does_not_hide_the_next(tmp_path: Path, name: str) -> None:
    package(tmp_path, name, a=task(f"{name}-a"))
    found = discover(["no_such_package", " ", f" {name} "], look_in=tmp_path)
    assert ([failure.module for failure in found.failures], found.modules) == (
        ["no_such_package"],
        [name, f"{name}.a"],
    )


def test_the_current_folder_is_looked_in(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a folder with a package in it, when it is the current one, then its name is enough."""
    package(tmp_path, name, a=task(f"{name}-a"))
    monkeypatch.chdir(tmp_path)
    assert discover([name], look_in=Path.cwd()).failures == []
    assert sys.path.count(str(tmp_path)) == 1
    discover([name], look_in=Path.cwd())
    assert sys.path.count(str(tmp_path)) == 1


def test_a_single_module_is_enough(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text(dedent(task(f"{name}-a")))
    found = discover([name], look_in=tmp_path)
    assert (found.modules, found.failures) == ([name], [])
    assert f"{name}-a" in JobRegistry.list_jobs()
