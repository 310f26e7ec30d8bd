"""The program's image, built with the documented command on a base image that the lab makes itself."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.commands import run
from tests.lab.documented_commands import commands, copy_checkout
from tests.lab.engines import Engine
from tests.lab.prerequisites import SERVICE, ensure_root, ensure_wheelhouse, wheelhouse

BASE = "python:lab"
IMAGE = "dockeripv6mapper"
BUILD_TIMEOUT = 300.0
"""Seconds. On two cores it takes 20 to 40 s."""
EXCLUDED = ("./usr/share/doc", "./usr/share/locale", "./usr/lib/systemd", "./var/cache", "./var/lib/apt")
"""Directories that the image does not need; without them it is made faster."""


def build(engine: Engine, context: Path) -> None:
    """Build the program's image; `context` is the build context, made from the checkout and the packages.

    Uses BuildKit, which is not the default before engine 23.
    """
    ensure_root(SERVICE)
    ensure_wheelhouse()
    _import_base(engine)
    copy_checkout(context)
    shutil.copytree(wheelhouse(), context / "wheels")
    (command,) = commands("Build", "docs/container.md")
    arguments = {"BASE": BASE, "PIP_FIND_LINKS": "/src/wheels", "PIP_NO_INDEX": "1"}
    options = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    program, build, *rest = command.split()
    assert (program, build) == ("docker", "build")
    # The lab has no internet access; without this option pip would wait for a timeout.
    argv = ("docker", "build", "--network=none", *options, *rest)
    environment = {**engine.environment, "DOCKER_BUILDKIT": "1"}
    run(*argv, cwd=context, env=environment, timeout=BUILD_TIMEOUT)


def copy_image(source: Engine, target: Engine) -> None:
    """Copy the image to another engine (docker save | docker load)."""
    with subprocess.Popen(
        ("docker", "save", IMAGE), env=source.environment, stdout=subprocess.PIPE
    ) as saving:
        subprocess.run(
            ("docker", "load", "--quiet"),
            env=target.environment,
            stdin=saving.stdout,
            check=True,
            timeout=120,
        )


def _import_base(engine: Engine) -> None:
    """Import the service root file system as base image: it has Python, nft and ip6tables."""
    excluded = [f"--exclude={each}" for each in EXCLUDED]
    pack = ("tar", "--create", f"--directory={SERVICE.path}", "--one-file-system", *excluded, ".")
    with subprocess.Popen(pack, stdout=subprocess.PIPE, env=dict(os.environ)) as packing:
        subprocess.run(
            ("docker", "import", "-", BASE),
            env=engine.environment,
            stdin=packing.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )
