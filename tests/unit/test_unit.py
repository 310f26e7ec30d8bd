"""`install-unit`: the unit of this installation, without systemd."""

import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand

from dockeripv6mapper.cli import unit
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Settings

CHECKOUT = Path(__file__).parents[2]
FOREIGN = "[Service]\nExecStart=/usr/local/bin/DockerIPV6Mapper.py\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program in a place that the unit does not hide, as far as the command knows."""
    scripts = tmp_path / "bin"
    scripts.mkdir()
    program = scripts / unit.PROGRAM
    program.touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(scripts))
    monkeypatch.setattr(unit, "HIDDEN", (Path("/home/nobody"),))
    return program


def install_unit(directory: Path, *, dry_run: bool = False, force: bool = False) -> None:
    """Run the command."""
    context = typer.Context(TyperCommand("install-unit"), obj=Settings())
    unit.install_unit(context, directory, dry_run=dry_run, force=force)


def test_the_packages_unit_is_that_of_the_checkout() -> None:
    """Update it with `cp DockerIPV6Mapper.service dockeripv6mapper/`."""
    packaged = CHECKOUT / "dockeripv6mapper" / unit.UNIT
    assert packaged.read_text() == (CHECKOUT / unit.UNIT).read_text()


def test_the_unit_starts_this_installation(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but ExecStart is as in the checkout, and the commands to type next are printed."""
    install_unit(tmp_path)
    target = tmp_path / unit.UNIT
    original = (CHECKOUT / unit.UNIT).read_text()
    expected = original.replace("/usr/local/bin/DockerIPV6Mapper.py", str(script))
    assert target.read_text() == expected != original
    assert target.stat().st_mode & 0o777 == 0o644
    assert capsys.readouterr().out.splitlines() == [
        f"written: {target}, which starts {script}",
        "next:",
        "  systemctl daemon-reload",
        "  systemctl enable --now DockerIPV6Mapper",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"bin", unit.UNIT}


@pytest.mark.usefixtures("script")
def test_a_dry_run_prints_the_unit_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The unit is on stdout, what would be done on stderr."""
    install_unit(tmp_path, dry_run=True)
    printed = capsys.readouterr()
    assert printed.out.startswith("[Unit]\n")
    assert printed.err == f"dry run: {tmp_path / unit.UNIT} would be written\n"
    assert not (tmp_path / unit.UNIT).exists()


@pytest.mark.usefixtures("script")
def test_a_unit_of_the_mapper_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That of an earlier version, or of another place; the same one is unchanged."""
    target = tmp_path / unit.UNIT
    target.write_text(f"[Unit]\n{unit.MARK}\n[Service]\nExecStart=/elsewhere\n")
    for outcome in ("replaced", "unchanged"):
        install_unit(tmp_path)
        printed = capsys.readouterr().out
        assert printed.startswith(f"{outcome}: ")
        assert printed.endswith("  systemctl restart DockerIPV6Mapper\n")


@pytest.mark.usefixtures("script")
def test_a_unit_of_another_program_is_replaced_only_by_force(tmp_path: Path) -> None:
    """As that of the older program, which has the same name."""
    target = tmp_path / unit.UNIT
    target.write_text(FOREIGN)
    with pytest.raises(MapperError, match="is not the mapper's"):
        install_unit(tmp_path)
    assert target.read_text() == FOREIGN
    install_unit(tmp_path, force=True)
    assert unit.MARK in target.read_text()


@pytest.mark.usefixtures("script")
def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The message has the cause from the operating system."""
    with pytest.raises(MapperError, match="No such file or directory"):
        install_unit(tmp_path / "missing")


@pytest.mark.parametrize("hidden", ["/home/me/.local/bin", "/root/.local/share/uv", "/tmp/venv"])  # noqa: S108
def test_a_place_that_the_unit_hides_is_refused(tmp_path: Path, hidden: str) -> None:
    """Be it the program or what it needs, as uv's interpreter; the hint says where to install it."""
    program = tmp_path / unit.PROGRAM
    program.touch()
    with pytest.raises(MapperError, match=f"the unit hides {hidden}") as error:
        unit.check_place(program, [Path("/opt/x/bin"), Path(hidden)])
    assert error.value.hint
    assert "/opt/dockeripv6mapper" in error.value.hint


def test_interpreter_and_package_are_needed(script: Path) -> None:
    """Also where their symbolic links lead."""
    needed = unit.needed_files(script)
    assert {script, Path(sys.executable), Path(sys.executable).resolve()} <= set(needed)


@pytest.mark.parametrize("name", ["a b", "50%", "x$y"])
def test_a_path_that_systemd_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    """Spaces, specifiers and variables have a meaning in ExecStart."""
    program = tmp_path / name
    program.touch()
    with pytest.raises(MapperError, match="systemd would misread"):
        unit.check_place(program, [])


def test_a_missing_program_is_refused(tmp_path: Path) -> None:
    """As after `pip install --user`, which puts it elsewhere."""
    with pytest.raises(MapperError, match="there is no"):
        unit.check_place(tmp_path / unit.PROGRAM, [])
