"""Runs tests with the lowest versions of the libraries that `pyproject.toml` allows.

python -m tests.lowest_versions

They are installed into a venv of their own, once for each set of bounds. The tests are those of the parts
that use a library: the engine's client against a socket, netlink in a namespace (root only), and the command
line.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv-lowest"
SET = VENV / "set.txt"
"""The set that is installed there; written last."""

BESIDE = ("click==8.1.8", "pytest>=8.2", "pytest-xdist>=3.6", "hypothesis>=6.100")
"""typer 0.15 does not work with click 8.2 or later, and does not say so. Debian 13 ships this one."""
TESTS = (
    *("tests/unit/engine", "tests/unit/daemon/test_detach.py", "tests/unit/report"),
    *("tests/unit/test_cli.py", "tests/unit/test_dependencies.py"),
)
AS_ROOT = ("tests/lab/test_topology_observer.py",)
LEFT_OUT = "not man_page and not name_that_no_container_can_have"
"""Help texts look different with other versions of typer; slow, and independent of library versions."""


def lowest_versions() -> Iterator[str]:
    """Each direct dependency, pinned to its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["metrics"]):
        name, _, bounds = requirement.partition(">=")
        yield f"{name}=={bounds.partition(',')[0]}"


def install() -> None:
    """Make the venv, unless it has this set already."""
    wanted = "\n".join((*lowest_versions(), *BESIDE, sys.version))
    if SET.exists() and SET.read_text() == wanted:
        return
    subprocess.run((sys.executable, "-m", "venv", "--clear", VENV), check=True)
    packages = (*lowest_versions(), *BESIDE)
    pip = (VENV / "bin/python", "-m", "pip", "install", "--quiet", "--no-input")
    subprocess.run((*pip, *packages, "--editable", f"{ROOT}[metrics]"), check=True)
    SET.write_text(wanted)


def main() -> int:
    """Install, then run the tests; returns pytest's exit code."""
    install()
    tests = (*TESTS, *(AS_ROOT if os.geteuid() == 0 else ()))
    argv = (VENV / "bin/python", "-m", "pytest", "-q", "-n", "2", "-k", LEFT_OUT, *tests)
    return subprocess.run(argv, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
