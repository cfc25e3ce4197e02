"""`python -m workers`: become gunicorn with the service that TORPOR_SERVICE names."""

from __future__ import annotations

import sys
from pathlib import Path

from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]


def main() -> None:
    """Be gunicorn in this very process: a SIGTERM reaches it, and what was imported needs no second start."""
    sys.argv = ["gunicorn", "--config", str(Path(__file__).with_name("gunicorn.conf.py"))]
    run()


if __name__ == "__main__":
    main()
