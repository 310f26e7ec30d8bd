"""`tests/demo`, and a part of the tests, on bare systems of other Debian releases than the machine's."""

import pytest

from tests.lab.bare_debian import BareDebian
from tests.lab.prerequisites import BARE_STABLE, BARE_TESTING

UNIT_TESTS = ("tests/unit/kernel", "tests/unit/report", "tests/unit/test_dependencies.py")
"""The tests that use libraries the most, but for the slow ones of `engine/`."""


@pytest.mark.parametrize(
    ("debian", "demo"),
    [
        pytest.param(BareDebian(BARE_STABLE, "3.13"), ("tests/demo",), id="trixie-without-sudo"),
        pytest.param(BareDebian(BARE_TESTING, "3.14"), ("sudo", "tests/demo"), id="forky-with-sudo"),
    ],
)
@pytest.mark.usefixtures("prerequisites")
def test_the_demo_and_unit_tests_pass(debian: BareDebian, demo: tuple[str, ...]) -> None:
    """With that release's engine and Python; the demo checks its own claims."""
    with debian.entered() as inside:
        assert f"Python {debian.python}." in inside.run(".venv/bin/python", "--version", timeout=10)
        assert "3d:7a:30" in inside.run(*demo, timeout=120)
        inside.run(".venv/bin/pytest", "-q", "-p", "no:cacheprovider", *UNIT_TESTS, timeout=120)
