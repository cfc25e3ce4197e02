"""The build: its form, the order of its steps, and what its scripts do when a canary fails."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

DEPLOYING = ("stable", "plan", "canary", "watch", "settle", "verdict")
TERRAFORM = """#!/bin/sh
echo "terraform $*" >>"$CALLS"
case "$*" in apply*canary.plan) exit "$APPLY_STATUS" ;; esac
"""
GCLOUD = """#!/bin/sh
echo "gcloud $*" >>"$CALLS"
case "$*" in
  *"services list"*torpor-worker*) echo torpor-worker-00007-abc ;;
  *"services list"*) ;;
  *"services describe"*) echo "$4-00008-new" ;;
  *"logging read"*) for each in $ERRORS; do echo "$each"; done ;;
esac
"""


@pytest.fixture(scope="module")
def build(pytestconfig: pytest.Config) -> dict[str, Any]:
    text = (pytestconfig.rootpath / "cloudbuild.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def test_every_key_is_one_that_cloud_build_knows(build: dict[str, Any]) -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/cloudbuild.json").read_text())
    step = schema["definitions"]["BuildStep"]
    options = schema["definitions"]["BuildOptions"]

    # The schema lets keys pass that it does not know.
    assert build.keys() <= schema["properties"].keys()
    assert build["options"].keys() <= options["properties"].keys()
    for each in build["steps"]:
        assert each.keys() <= step["properties"].keys(), each["id"]


def test_nothing_is_pushed_that_was_not_tested_and_nothing_deployed_that_was_not_pushed(build: dict[str, Any]) -> None:
    before = _what_comes_before(build["steps"])

    assert {"lint", "test", "terraform", "build", "registry"} <= before["push"]
    assert {"lint", "emulator"} <= before["test"]
    for earlier, later in zip(("push", *DEPLOYING), DEPLOYING, strict=False):
        assert earlier in before[later]


def test_the_tests_are_those_of_every_other_place(build: dict[str, Any]) -> None:
    assert ".ci/run" in _script(build, "test")


@pytest.mark.parametrize("step", ["lint", "emulator", "test", "terraform", "registry", "push", *DEPLOYING])
def test_every_script_ends_at_its_first_failure(build: dict[str, Any], step: str) -> None:
    shell, options = _script(build, step).splitlines()[:2]

    assert (shell, options) in {("#!/bin/bash", "set -euo pipefail"), ("#!/bin/sh", "set -eu")}


class Release:
    """The deploying steps, run as they are, with stand-ins for what they call."""

    def __init__(self, folder: Path, build: dict[str, Any]) -> None:
        self._build = build
        self._folder = folder
        for name, text in (("terraform", TERRAFORM), ("gcloud", GCLOUD), ("sleep", "#!/bin/sh\n")):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        for name in ("build", "terraform"):
            (folder / "work" / name).mkdir(parents=True)
        (folder / "work/build/image").write_text("registry.example/torpor@sha256:0\n")
        (folder / "calls").touch()

    def run(self, *, errors: str = "", apply_status: int = 0, deploy: str = "true") -> int:
        """Run the steps in their order; the status of the one that failed, or of the last one."""
        settings = {name: value for name, value in self._build["substitutions"].items() if "${" not in value}
        settings |= {"_STATE_BUCKET": "bucket", "PROJECT_ID": "example", "_DEPLOY": deploy}
        settings |= {"CALLS": f"{self._folder}/calls", "ERRORS": errors, "APPLY_STATUS": str(apply_status)}
        settings["PATH"] = f"{self._folder}/bin:{os.environ['PATH']}"
        for step in DEPLOYING:
            script = self._folder / step
            script.write_text(_script(self._build, step))
            script.chmod(0o755)
            done = subprocess.run(
                [str(script)], env=settings, cwd=self._folder / "work", capture_output=True, check=False, timeout=60
            )
            if done.returncode:
                return done.returncode
        return 0

    @property
    def calls(self) -> list[str]:
        """What was called."""
        return (self._folder / "calls").read_text().splitlines()

    @property
    def applied(self) -> list[str]:
        """What was applied, as the last word of each call."""
        return [call.rsplit(maxsplit=1)[-1] for call in self.calls if call.startswith("terraform apply")]

    @property
    def variables(self) -> dict[str, Any]:
        """What terraform reads by itself."""
        read: dict[str, Any] = json.loads((self._folder / "work/terraform/release.auto.tfvars.json").read_text())
        return read


@pytest.fixture
def release(tmp_path: Path, build: dict[str, Any]) -> Release:
    return Release(tmp_path, build)


def test_a_good_canary_takes_all_traffic(release: Release) -> None:
    assert release.run() == 0
    assert release.applied == ["canary.plan", "canary_percent=100"]
    assert release.variables == {
        "image": "registry.example/torpor@sha256:0",
        "name": "torpor",
        "project": "example",
        "region": "us-central1",
        "stable_revisions": {"worker": "torpor-worker-00007-abc"},
    }
    (plan,) = (call for call in release.calls if call.startswith("terraform plan"))
    assert "-var canary_percent=10 -out=canary.plan" in plan
    assert any("torpor-web-00008-new" in call for call in release.calls if "revision_name" in call)


def test_a_canary_with_errors_is_taken_back_and_fails_the_build(release: Release) -> None:
    assert release.run(errors="one") == 1
    assert release.applied == ["canary.plan", "canary_percent=0"]


def test_a_canary_that_could_not_be_applied_is_taken_back_and_fails_the_build(release: Release) -> None:
    assert release.run(apply_status=1) == 1
    assert release.applied == ["canary.plan", "canary_percent=0"]
    assert not any("logging read" in call for call in release.calls)


def test_the_first_build_deploys_nothing(release: Release) -> None:
    assert release.run(deploy="false") == 0
    assert release.calls == []


def _script(build: dict[str, Any], step: str) -> str:
    (script,) = (each["script"] for each in build["steps"] if each["id"] == step)
    return str(script)


def _what_comes_before(steps: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The steps that have ended when each begins; without `waitFor` those are all before it."""
    before: dict[str, set[str]] = {}
    for step in steps:
        waits: list[str] = [name for name in step.get("waitFor", before) if name != "-"]
        before[step["id"]] = {*waits}.union(*(before[name] for name in waits))
    return before
