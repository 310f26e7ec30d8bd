"""The manual: what the README and `docs/` tell a reader to type, to be typed as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

from tests.lab.prerequisites import CHECKOUT

INDENT = "    "


def commands(heading: str, page: str = "README.md") -> list[str]:
    """Return the commands in the indented blocks below `heading`, up to the next heading, without `sudo`.

    Lines that a backslash continues are one. Raises `AssertionError` where there are none: a test that
    types nothing would prove nothing.
    """
    text = (CHECKOUT / page).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    joined = found[1].replace("\\\n", "")
    lines = [line.removeprefix(INDENT) for line in joined.splitlines() if line.startswith(INDENT)]
    typed = [re.sub(r"\bsudo ", "", line) for line in lines if line.strip()]
    assert typed, f"{page} gives no command below {heading!r}"
    return typed


def script(heading: str, directory: str, page: str = "README.md") -> str:
    """Return the commands below `heading` as a shell script that stops at the first that fails."""
    return "\n".join(("set -eux", f"cd {shlex.quote(directory)}", *commands(heading, page)))


def copied_checkout(target: Path) -> Path:
    """Copy what a reader would have checked out to `target`, without what was made in it since."""
    made = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", "build", "dist")
    return Path(shutil.copytree(CHECKOUT, target, ignore=made))
