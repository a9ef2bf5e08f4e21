"""Protection domains, wired up by hand as for the tests of the user library; variables of programs, set for a test."""

from collections.abc import Iterator

import pytest

from tests.servers.variables import restore_variables
from tests.user.conftest import domain, domains

__all__ = ["domain", "domains"]


@pytest.fixture(autouse=True)
def _variables() -> Iterator[None]:
    """What was set for a test is not set for the next one."""
    yield
    restore_variables()
