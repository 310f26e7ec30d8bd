"""Which engines a lab test runs on: chosen for each test, so that none is run for nothing.

A test that uses the fixture `flavour`, or one that depends on it as `host`, runs on one engine where nothing
else is chosen: its subject is the same on all. Those tests are divided among the engines by their names. A
test whose subject is what engines do differently names its engines, with the reason:

    @on_every_engine("an engine's start and the connect race")
    @on_engines(Flavour.MODERN, because="only this engine has gateway modes")

With `--engine-root` or `--engine-flag`, tests of one or of all engines run on the named engine alone.
"""

import zlib

import pytest

from tests.lab.engine_root import engine_flags, named_engine
from tests.lab.engines import Flavour

MARKER = "engines"


def on_engines(*flavours: Flavour, because: str) -> pytest.MarkDecorator:
    """Run a test, or with `pytestmark` those of a file, on these engines. The nearest choice counts."""
    assert because
    return pytest.mark.engines(*flavours)


def on_every_engine(because: str) -> pytest.MarkDecorator:
    """Run a test, or those of a file, on every engine."""
    return on_engines(*Flavour, because=because)


on_one_engine = pytest.mark.engines()
"""Run a test of a file with another choice on one engine, as without any choice."""


def chosen_engines(test: pytest.Function) -> tuple[Flavour, ...]:
    """Return the engines that a test runs on."""
    mark = test.get_closest_marker(MARKER)
    chosen: tuple[Flavour, ...] = mark.args if mark else ()
    if (named_engine() or engine_flags()) and len(chosen) != 1:
        return (Flavour.MODERN,)
    every = tuple(Flavour)
    # By the name: a test added to a file changes the engine of no other test.
    return chosen or (every[zlib.crc32(test.nodeid.encode()) % len(every)],)
