"""The demo is a promise too: each of its claims is checked by itself, so it only has to be run."""

import os
import subprocess
import sys

from tests.lab.mapper import CHECKOUT


def test_the_demo_shows_what_it_claims() -> None:
    """It ends with exit code 0 only where everything that it shows was seen to work."""
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
