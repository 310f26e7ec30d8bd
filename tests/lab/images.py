"""Images: the program's own, built in the lab as the documents say, upon a base that the lab has itself."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.commands import run
from tests.lab.documented_commands import commands, copied_checkout
from tests.lab.engines import Engine
from tests.lab.prerequisites import SERVICE, ensure_root, ensure_wheelhouse, wheelhouse

BASE = "python:lab"
IMAGE = "dockeripv6mapper"
BUILD_TIMEOUT = 300.0
"""Seconds. On two cores it takes 20 to 40."""
LEFT_OUT = ("./usr/share/doc", "./usr/share/locale", "./usr/lib/systemd", "./var/cache", "./var/lib/apt")
"""What an image needs no part of; it would have to be packed, unpacked and stored."""


def build(engine: Engine, context: Path) -> None:
    """Build the image of the checkout, which is copied to `context` with the packages beside it.

    By BuildKit, which has to be asked for in an engine before 23.
    """
    ensure_root(SERVICE)
    ensure_wheelhouse()
    _import_base(engine)
    copied_checkout(context)
    shutil.copytree(wheelhouse(), context / "wheels")
    (command,) = commands("Build", "docs/container.md")
    arguments = {"BASE": BASE, "PIP_FIND_LINKS": "/src/wheels", "PIP_NO_INDEX": "1"}
    options = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    program, build, *rest = command.split()
    assert (program, build) == ("docker", "build")
    # Nothing may be fetched: the lab has no way to do so, and would wait for it.
    argv = ("docker", "build", "--network=none", *options, *rest)
    environment = {**engine.environment, "DOCKER_BUILDKIT": "1"}
    run(*argv, cwd=context, env=environment, timeout=BUILD_TIMEOUT)


def copy_image(source: Engine, target: Engine) -> None:
    """Give another engine the image, as a registry would."""
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
    """Make the service root an image: it has a Python, nft and ip6tables."""
    left_out = [f"--exclude={each}" for each in LEFT_OUT]
    pack = ("tar", "--create", f"--directory={SERVICE.path}", "--one-file-system", *left_out, ".")
    with subprocess.Popen(pack, stdout=subprocess.PIPE, env=dict(os.environ)) as packing:
        subprocess.run(
            ("docker", "import", "-", BASE),
            env=engine.environment,
            stdin=packing.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )
