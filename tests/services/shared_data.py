"""Real data that lies beside the checkout and is not part of the project."""

import os
from pathlib import Path

from tests.services.unavailable import ServiceUnavailable

DATA_VARIABLE = "TORPOR_TEST_DATA"


def find_shared_data(checkout: Path) -> Path:
    """Find the folder of real data: the one named by TORPOR_TEST_DATA, else `../shared/data` beside the checkout.

    Raises:
        ServiceUnavailable: there is no such folder.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or checkout.parent / "shared" / "data")
    if not folder.is_dir():
        raise ServiceUnavailable(f"no real data in {folder}: set {DATA_VARIABLE} to the folder that holds it")
    return folder
