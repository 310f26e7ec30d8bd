"""The command line without engine and root: results, exit codes, errors."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand

from dockeripv6mapper import observation
from dockeripv6mapper.cli.cleanup import _pidfile
from dockeripv6mapper.cli.main import COMMANDS
from dockeripv6mapper.cli.status import status
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.planner import FirewallPlan, Plan, ProxyPlan
from dockeripv6mapper.model import FirewallRules
from dockeripv6mapper.report.exports import NameFormat
from dockeripv6mapper.settings import Settings
from tests.unit.builders import NGINX, container, endpoint, facts

SUBNET = "2001:470:b080:103:1::/80"
MAX_HELP_LINES = 66


def dockeripv6mapper(*args: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process, with `environment` as its whole environment."""
    argv = (sys.executable, "-m", "dockeripv6mapper", *args)
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=60, env=environment
    )


@pytest.mark.parametrize(
    ("args", "address"),
    [
        (("mon_container",), "2001:470:b080:103:1:3d:7a:30"),
        (("nginx",), "2001:470:b080:103:1:ee:43:40"),
        (("anything", "--suffix", "ab:cd:56"), "2001:470:b080:103:1:ab:cd:56"),
        (("mon_container", "--scheme", "wide"), "2001:470:b080:103:1:3d7a:3059:c25c"),
    ],
)
def test_address_prints_the_address_and_nothing_else(args: tuple[str, ...], address: str) -> None:
    """So a script can use the output."""
    done = dockeripv6mapper("address", *args, "--subnet", SUBNET)
    assert (done.stdout, done.stderr, done.returncode) == (f"{address}\n", "", 0)


def test_address_prints_one_address_a_line_in_the_order_of_the_names() -> None:
    """`-` stands for the lines of stdin, of which empty ones are left out."""
    done = dockeripv6mapper(
        "address", "mon_container", "-", "web", "--subnet", SUBNET, stdin="nginx\n\n  db \n"
    )
    suffixes = ("3d:7a:30", "ee:43:40", "d7:7d:5e", "25:67:a5")
    assert done.stdout.split() == [f"2001:470:b080:103:1:{suffix}" for suffix in suffixes]
    assert (done.stderr, done.returncode) == ("", 0)


def test_address_prints_nothing_if_one_of_the_names_is_wrong() -> None:
    """A program that pairs names with lines must not get fewer lines than names."""
    done = dockeripv6mapper("address", "nginx", "-", "--subnet", SUBNET, stdin="web\na b\n")
    assert (done.stdout, done.returncode) == ("", 2)
    assert "'a b' is a name that no container can have" in done.stderr


def test_an_environment_variable_stands_for_an_option() -> None:
    """The systemd unit sets options in this way."""
    done = dockeripv6mapper("address", "nginx", "--subnet", SUBNET, DOCKERIPV6MAPPER_SCHEME="wide")
    assert done.stdout == "2001:470:b080:103:1:ee43:4023:cf89\n"


@pytest.mark.parametrize("where", [("--subnet", SUBNET), ("--network", "he_ipv6")], ids="".join)
@pytest.mark.parametrize("name", ["", "a", ".web", "/web", "web\n", "wéb", "a b"])
def test_a_name_that_no_container_can_have_is_a_usage_error(name: str, where: tuple[str, str]) -> None:
    """No container can have it, so the engine is not asked."""
    done = dockeripv6mapper("address", name, *where)
    assert (done.stdout, done.returncode) == ("", 2)
    assert "is a name that no container can have" in done.stderr


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (("--suffix", "1"), "gateway"),
        (("--suffix", "0"), "anycast"),
        (("--suffix", "nope"), "ipv6.mapper.suffix='nope'"),
        (("--suffix", "1:2:3:4"), "1:2:3:4 does not fit"),
    ],
)
def test_a_refused_address_is_an_error_and_exit_code_1(args: tuple[str, ...], cause: str) -> None:
    """The message says what was being done, to what, and the cause; no traceback."""
    done = dockeripv6mapper("address", "nginx", "--subnet", SUBNET, *args)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("error: computing the address of nginx: ")
    assert cause in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("address", "nginx"),
        ("address", "nginx", "--subnet", SUBNET, "--network", "he_ipv6"),
        ("address", "nginx", "--subnet", "2001:db8::1/64"),
        ("address", "nginx", "--subnet", "192.0.2.0/24"),
        ("--proxy", "some"),
        ("--resync", "0"),
        ("no-such-command",),
        ("status", "--json", "--tree"),
        ("status", "--tree", "--format", "hosts"),
        ("status", "--format", "zone", "--json"),
        ("status", "--format", "bind"),
        ("status", "--watch", "--json"),
        ("status", "--watch"),
    ],
)
def test_wrong_usage_is_exit_code_2(args: tuple[str, ...]) -> None:
    """The error is on stderr."""
    done = dockeripv6mapper(*args)
    assert done.returncode == 2
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [("plan",), ("status",), ("address", "nginx", "--network", "he_ipv6")])
def test_an_unreachable_engine_is_an_error_and_not_a_traceback(args: tuple[str, ...]) -> None:
    """The message contains the cause from the operating system."""
    done = dockeripv6mapper("--docker-host", "unix:///nonexistent/docker.sock", *args)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [("--help",), ("address", "nginx", "--subnet", SUBNET)])
def test_commands_without_engine_and_kernel_load_neither_docker_nor_pyroute2(args: tuple[str, ...]) -> None:
    """Loading these libraries would take most of the command's time."""
    argv = (sys.executable, "-X", "importtime", "-m", "dockeripv6mapper", *args)
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, env={})
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "dockeripv6mapper.cli" in loaded
    assert not loaded & {"docker", "pyroute2"}


@pytest.mark.parametrize("name_format", NameFormat)
def test_lines_of_names_need_no_firewall_rules(
    name_format: NameFormat,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A cron job without root writes them. The rules are not read, and have no part in the exit code."""
    endpoints = (endpoint(NGINX, NGINX),)
    mapped = container("nginx", network="he_ipv6", running=True, endpoints=endpoints)
    given, settings = facts(mapped), Settings(state_dir=tmp_path)
    desired = Desired(settings)
    desired.update(given, given.containers)
    nothing = Plan((), ProxyPlan(), FirewallPlan(FirewallRules(), FirewallRules()), ())
    observed = observation.Observation(given, desired, nothing, {})
    judged: list[object] = []
    monkeypatch.setattr(observation, "observe", lambda _: observed)
    monkeypatch.setattr(observation, "judge_reachability", lambda *_: judged.append(1))
    status(typer.Context(TyperCommand("status"), obj=settings), name_format=name_format)
    assert str(NGINX) in capsys.readouterr().out
    assert not judged


def test_cleanup_finds_the_pid_file_that_an_option_before_it_names() -> None:
    """Typer keeps an option's text; some versions keep its value."""
    program = typer.Context(TyperCommand("DockerIPV6Mapper.py"))
    command = typer.Context(TyperCommand("cleanup"), parent=program)
    for kept in ("/run/it.pid", Path("/run/it.pid")):
        program.params = {"pidfile": kept}
        assert _pidfile(command) == Path("/run/it.pid")


def test_help_is_one_screen_of_80_columns() -> None:
    """Options in groups, the rule for variables once, examples, exit codes; nothing is cut."""
    done = dockeripv6mapper("--help", COLUMNS="80")
    lines = done.stdout.splitlines()
    assert len(lines) <= MAX_HELP_LINES
    assert max(map(len, lines)) <= 80
    assert done.stdout.count("DOCKERIPV6MAPPER_") == 1
    assert not {"…", "..."} & set(done.stdout.replace("[ARGS]...", "").split())
    for text in (
        *COMMANDS.values(),
        "NDP proxying:",
        "--[no-]sysctl",
        "--dry-run",
        "Examples:",
        "Exit codes:",
    ):
        assert text in done.stdout


@pytest.mark.parametrize("args", [("--uplnk", "eth0"), ("--up-link", "eth0"), ("--uplinks", "eth0")])
def test_an_unknown_option_names_the_nearest(args: tuple[str, ...]) -> None:
    """In plain text, so that it is readable in the journal too."""
    done = dockeripv6mapper(*args)
    assert done.returncode == 2
    assert f"No such option: {args[0]}" in done.stderr
    assert done.stderr.rstrip(").?\n'\"").endswith("--uplink")


def test_the_man_page_agrees_with_the_help_texts() -> None:
    """Update it with `python tools/manpage.py > docs/DockerIPV6Mapper.8`."""
    checkout = Path(__file__).parents[2]
    argv = (sys.executable, checkout / "tools/manpage.py")
    page = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert page == (checkout / "docs/DockerIPV6Mapper.8").read_text()


@pytest.mark.parametrize("name", ["DockerIPV6Mapper.py", "dockeripv6mapper"])
@pytest.mark.parametrize(
    ("typed", "offered"), [("stat", "status"), ("--proxy ma", "mapped"), ("address --subn", "--subnet")]
)
def test_the_shell_completes_commands_options_and_values(name: str, typed: str, offered: str) -> None:
    """For both names of the program, in the protocol of typer's completion for bash."""
    program = Path(sys.executable).with_name(name)
    words = f"{name} {typed}"
    environment = {
        f"_{name}_COMPLETE".upper(): "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    # `--version`: if the completion does not work, the output is the version.
    done = subprocess.run(
        (program, "--version"), capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.stdout.split() == [offered]
