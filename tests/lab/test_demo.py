"""The demo checks its own claims, so the test only runs it."""

import os
import subprocess
import sys

import pytest

from tests.lab.mapper import CHECKOUT


@pytest.mark.usefixtures("prerequisites")
def test_demo_has_no_failed_claim() -> None:
    """Its exit code is 0 only if all claims were true."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.lab.demo"),
        cwd=CHECKOUT,
        env={**os.environ, "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3d:7a:30" in done.stdout
