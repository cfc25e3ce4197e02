"""Other job queues, measured by their own script in the same run, so that the machine's mood is the same for all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.figures import Figures

DEFAULT_FOLDER = Path("../shared/bench/peers")
"""Where a checkout of the peers may lie; nothing else depends on it."""
_PATIENCE_SECONDS = 560.0


class PeerFailed(Exception):
    """A peer's script failed; the message says how."""


def run_peer(folder: Path, name: str, jobs: int, samples: int) -> tuple[str, Figures]:
    """Measure one peer once; gives its database and its figures.

    Args:
        folder: has a script `run` that takes peers' names and `--n`, `--samples`, and prints a JSON line for each.
        name: the peer's name in that script.
        jobs: in each phase.
        samples: of pickup latency.

    Raises:
        PeerFailed: the script or the peer failed.
    """
    command = [str(folder / "run"), name, "--n", str(jobs), "--samples", str(samples), "--latency-s", "20"]
    try:
        done = subprocess.run(
            [*command, "--idle-s", "0"], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as late:
        raise PeerFailed(f"{name}: no result in {_PATIENCE_SECONDS:g} s") from late
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerFailed(f"{name}: {error}; {str(getattr(error, 'stderr', ''))[-500:]}") from error
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            answer = json.loads(line)
            if answer.get("errors"):
                raise PeerFailed(f"{name}: {'; '.join(answer['errors'])}")
            return answer["store"], {label: each["median"] for label, each in answer["measured"].items()}
    raise PeerFailed(f"{name}: it printed no result: {done.stderr[-500:]}")


def folder_of(asked: Path | None) -> Path | None:
    """The folder asked for, or the default one where it exists."""
    if asked is not None:
        return asked
    return DEFAULT_FOLDER if (DEFAULT_FOLDER / "run").exists() else None
