"""`python -m workers`: become gunicorn with the service that TORPOR_SERVICE names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.bootstrap import server_settings


def main() -> None:
    """Replace this process, so that a SIGTERM reaches gunicorn itself."""
    configuration = Path(__file__).with_name("gunicorn.conf.py")
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        str(configuration),
        f"workers.{server_settings().service}:app",
    ]
    os.execv(sys.executable, command)  # noqa: S606 - no shell, and nothing of it comes from outside


if __name__ == "__main__":
    main()
