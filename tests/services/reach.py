"""What a test does about a service that it can't reach: it is skipped on a developer's machine and fails in CI."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from tests.services.unavailable import ServiceUnavailable


def reached(service: AbstractContextManager[str]) -> Iterator[str]:
    """Give a service's address for the life of a fixture; without the service skip, or fail where CI=true."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(service)
        except ServiceUnavailable as unavailable:
            if os.environ.get("CI") == "true":
                pytest.fail(str(unavailable), pytrace=False)
            pytest.skip(str(unavailable))
        yield address
