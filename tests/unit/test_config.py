"""`config`: what each option came from."""

import json

from tests.unit.test_cli import dockeripv6mapper


def test_config_says_what_set_each_option() -> None:
    """The command line wins over the variable."""
    variables = {"DOCKERIPV6MAPPER_UPLINK": "eth0 eth1", "DOCKERIPV6MAPPER_PROXY": "off"}
    done = dockeripv6mapper("--proxy", "all", "--no-sysctl", "config", "--json", **variables)
    assert (done.stderr, done.returncode) == ("", 0)
    options = json.loads(done.stdout)["options"]
    assert options["--uplink"] == {
        "value": ["eth0", "eth1"],
        "from": "environment variable",
        "variable": "DOCKERIPV6MAPPER_UPLINK",
    }
    assert (options["--proxy"]["value"], options["--proxy"]["from"]) == ("all", "command line")
    assert (options["--sysctl"]["value"], options["--sysctl"]["from"]) == (False, "command line")
    assert (options["--resync"]["value"], options["--resync"]["from"]) == (30.0, "default")
    assert not {"--version", "--help", "--install-completion"} & options.keys()


def test_the_table_of_config_names_the_variable() -> None:
    """So it is found in the unit's file of variables."""
    done = dockeripv6mapper("config", DOCKERIPV6MAPPER_METRICS="[::1]:9109")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["--metrics", "[::1]:9109", "DOCKERIPV6MAPPER_METRICS"] in rows
    assert ["--docker-host", "-", "default"] in rows
    assert ["--sysctl", "yes", "default"] in rows


def test_config_finds_a_variable_that_stands_for_no_option() -> None:
    """The daemon ignores it. Variables of commands and of other programs are left alone."""
    done = dockeripv6mapper(
        "config", DOCKERIPV6MAPPER_UPLINKS="eth0", DOCKERIPV6MAPPER_ADDRESS_SUFFIX="1", DOCKER_HOST="x"
    )
    assert done.returncode == 3
    assert done.stderr == (
        "DOCKERIPV6MAPPER_UPLINKS stands for no option; did you mean DOCKERIPV6MAPPER_UPLINK?\n"
    )


def test_an_invalid_value_is_one_sentence() -> None:
    """It names the option and the value."""
    for name, value in (("PROXY", "some"), ("FWMARK", "3"), ("METRICS", "localhost:1"), ("RESYNC", "0")):
        done = dockeripv6mapper("config", **{f"DOCKERIPV6MAPPER_{name}": value})
        assert (done.stdout, done.returncode) == ("", 2)
        *_, sentence = done.stderr.splitlines()
        assert sentence.startswith("Error: Invalid value for ")
        assert f"--{name.lower()}" in sentence
        assert value in sentence
