"""Protection domains, wired up by hand as for the tests of the user library."""

from tests.user.conftest import domain, domains

__all__ = ["domain", "domains"]
