"""The promises of `app.stores.base` as tests that any store can be held to.

Subclass `StoreConformance` (or `SharedStoreConformance`, for a store whose records outlive the object) in a test
module under a name that pytest collects, and say in the fixture `make_store` how a store is made::

    class TestMyStore(SharedStoreConformance):
        @pytest.fixture
        def make_store(self, tmp_path: Path) -> MakeStore:
            return lambda prefix="": MyStore(tmp_path, prefix=prefix)

Every store that `make_store` gives within one test is on the same database, which is empty when the test begins.
The tests are coroutines for anyio's pytest plugin on asyncio; pytest and hypothesis must be installed.
"""

from __future__ import annotations

import pytest

# Before the imports, so that a failing assert of the suite explains itself.
for _part in ("claims", "harness", "joining", "queries", "races", "sharing", "units", "values", "watching", "writes"):
    pytest.register_assert_rewrite(f"{__name__}.{_part}")

from app.stores.conformance.claims import ClaimConformance  # noqa: E402 - see above
from app.stores.conformance.harness import MakeStore  # noqa: E402 - see above
from app.stores.conformance.joining import JoiningConformance, Transaction  # noqa: E402 - see above
from app.stores.conformance.queries import QueryConformance  # noqa: E402 - see above
from app.stores.conformance.races import RaceConformance  # noqa: E402 - see above
from app.stores.conformance.sharing import SharingConformance  # noqa: E402 - see above
from app.stores.conformance.units import UnitConformance  # noqa: E402 - see above
from app.stores.conformance.values import ValueConformance  # noqa: E402 - see above
from app.stores.conformance.watching import WatchConformance  # noqa: E402 - see above
from app.stores.conformance.writes import WriteConformance  # noqa: E402 - see above

__all__ = [
    "JoiningConformance",
    "MakeStore",
    "SharedStoreConformance",
    "StoreConformance",
    "Transaction",
]


class StoreConformance(
    WriteConformance,
    UnitConformance,
    ValueConformance,
    QueryConformance,
    ClaimConformance,
    RaceConformance,
    WatchConformance,
):
    """What every store must do."""


class SharedStoreConformance(SharingConformance, StoreConformance):
    """What a store must do whose records outlive the store object and are seen by several of them."""
