"""`python -m workers`: become gunicorn with the service that TORPOR_SERVICE names."""

from __future__ import annotations

import gc
import sys
from pathlib import Path


def main() -> None:
    """Be gunicorn in this very process: a SIGTERM reaches it, and what was imported needs no second start."""
    # A sixth of a start would go into looking for garbage among modules; `gunicorn.conf.py` switches this on again.
    gc.disable()
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

    sys.argv = ["gunicorn", "--config", str(Path(__file__).with_name("gunicorn.conf.py"))]
    run()


if __name__ == "__main__":
    main()
