"""Options and settings that hold for the whole suite."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A test never fails by the clock, and a slow machine is not a bug.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regen",
        action="store_true",
        help="write the golden files anew instead of comparing; review the diff like code",
    )


@pytest.fixture
def regen(request: pytest.FixtureRequest) -> bool:
    """True where `--regen` was given: golden files are written, not compared."""
    return bool(request.config.getoption("--regen"))
