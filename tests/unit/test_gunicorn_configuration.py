"""How many connections a server takes, which is bounded by how many files it may open."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
made = runpy.run_path(sys.argv[3])
print(json.dumps([made["threads"], made["worker_connections"], *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.mark.skipif(HARD != resource.RLIM_INFINITY and HARD < 4000, reason=f"no process may open over {HARD} files")
@pytest.mark.parametrize(
    ("soft", "hard", "connections", "then"),
    [
        (4000, 4000, 2018, 4000),
        (256, 4000, 2018, 2218),
        (256, 1000, 800, 1000),
    ],
    ids=["enough", "raised", "as many as there can be"],
)
def test_a_server_takes_no_more_connections_than_it_may_open(
    tmp_path: Path, soft: int, hard: int, connections: int, then: int
) -> None:
    arguments = [str(soft), str(hard), str(ROOT / "workers" / "gunicorn.conf.py")]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TORPOR_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [18, connections, then, hard]


def test_the_collector_is_off_while_the_application_is_imported_and_on_when_it_serves(tmp_path: Path) -> None:
    program = (
        "import gc, runpy, sys\n"
        "class Worker:\n"
        "    class wsgi: extensions = {'torpor': None}\n"
        "made = runpy.run_path(sys.argv[1])\n"
        "for hook in (['when_ready', None], ['post_fork', None, None], ['post_worker_init', Worker]):\n"
        "    made[hook[0]](*hook[1:])\n"
        "    print(gc.isenabled())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "workers" / "gunicorn.conf.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False", "True"]
