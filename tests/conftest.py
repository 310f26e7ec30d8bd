"""What holds for every test: in CI nothing is skipped, and a run says how long all of it took."""

import os
import time
from collections.abc import Generator

import pytest

IN_CI = "CI" in os.environ
STARTED = "TESTS_RUN_STARTED"
"""Set by `tests/run`: when it began, in seconds since the epoch."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI: what cannot run there is not tested."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longreprtext or report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long `tests/run` took in all, checkers and installation included."""
    if STARTED in os.environ:
        seconds = time.time() - float(os.environ[STARTED])
        terminalreporter.write_line(f"tests/run took {seconds:.0f} s in all")
