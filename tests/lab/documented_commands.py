"""Commands from README and `docs/`, so that tests run them exactly as documented."""

import re
import shlex
import shutil
from pathlib import Path

from tests.lab.prerequisites import CHECKOUT

INDENT = "    "


def commands(heading: str, page: str = "README.md") -> list[str]:
    """Return the commands in the indented blocks below `heading`, up to the next heading, without `sudo`.

    Lines continued by a backslash are joined. Raises `AssertionError` if there are no commands.
    """
    text = (CHECKOUT / page).read_text()
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no heading {heading!r}"
    joined = section[1].replace("\\\n", "")
    lines = [line.removeprefix(INDENT) for line in joined.splitlines() if line.startswith(INDENT)]
    commands = [re.sub(r"\bsudo ", "", line) for line in lines if line.strip()]
    assert commands, f"{page} has no command below {heading!r}"
    return commands


def script(heading: str, directory: str, page: str = "README.md") -> str:
    """Return the commands below `heading` as a shell script that stops at the first failure."""
    return "\n".join(("set -eux", f"cd {shlex.quote(directory)}", *commands(heading, page)))


def copy_checkout(target: Path) -> Path:
    """Copy the checkout to `target`, without generated files (venv, caches, build output)."""
    generated = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", "build", "dist"
    )
    return Path(shutil.copytree(CHECKOUT, target, ignore=generated, dirs_exist_ok=True))
