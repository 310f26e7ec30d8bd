"""Metrics: scraped as Prometheus does, and read with its library's own parser."""

import json
import re
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.containers import run, run_labelled, wait_until_mapped
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.prerequisites import CHECKOUT
from tests.lab.router import HTTP_GET
from tests.lab.waiting import eventually

pytestmark = pytest.mark.parametrize("host", [Flavour.MODERN], indirect=True)
ADDRESS = "[::1]:9109"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metered(host: Host) -> Iterator[Mapper]:
    """A mapper that serves metrics."""
    with Mapper(host, "--metrics", ADDRESS) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        yield mapper


def exposition(host: Host) -> str:
    """What is served, as text."""
    return host.namespace.run(sys.executable, "-c", HTTP_GET, f"http://{ADDRESS}/metrics", "2").stdout


def scrape(host: Host) -> Samples:
    """What is served, by name and labels."""
    return {
        (sample.name.removeprefix("dockeripv6mapper_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(host))
        for sample in family.samples
    }


def test_a_container_is_counted_from_its_creation_to_its_end(host: Host, metered: Mapper) -> None:
    """Its mapping, the engine's call, the race, the events and passes; a name is in none of it."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    one = ("mappings", (("network", "he_ipv6"), ("state", "mapped")))
    eventually(lambda: scrape(host).get(one) == 1)
    samples = scrape(host)
    assert samples["engine_connected", ()] == 1
    assert samples["proxy_entries", ()] == 1
    assert samples["engine_action_duration_seconds_count", (("action", "connect"), ("outcome", "done"))] == 1
    assert sum(value for (name, _), value in samples.items() if name == "races_total") == 1
    assert samples["pass_duration_seconds_count", (("scope", "full"),)] >= 1
    assert samples["event_lag_seconds_count", ()] >= 2
    assert 0 < samples["event_lag_seconds_sum", ()] < 2
    assert "mon_container" not in exposition(host)
    host.engine.docker("rm", "--force", "mon_container")
    eventually(lambda: one not in scrape(host))
    assert metered.running


def test_a_refusal_is_counted_by_its_reason_and_by_no_name_that_a_label_chose(
    host: Host, metered: Mapper
) -> None:
    """Labels could fill the memory of whoever stores the metrics."""
    run(host, "stray", "--label", "ipv6.mapper.network=chosen-by-a-label")
    refusal = ("refusals", (("reason", "network-not-found"),))
    eventually(lambda: scrape(host).get(refusal) == 1)
    assert "chosen-by-a-label" not in exposition(host)
    assert metered.running


def test_an_engine_that_is_away_is_shown(host: Host, metered: Mapper) -> None:
    """Metrics are served all the same."""
    eventually(lambda: scrape(host)["engine_connected", ()] == 1)
    host.engine.stop()
    eventually(lambda: scrape(host)["engine_connected", ()] == 0)
    assert metered.running


def test_an_address_that_is_taken_is_an_error_at_the_start(host: Host) -> None:
    """Better than a daemon that nobody can watch."""
    server = (sys.executable, "-u", "-m", "http.server", "--bind", "::1", "9109")
    with host.namespace.popen(*server) as taken:
        assert taken.stdout is not None
        assert taken.stdout.readline().startswith("Serving HTTP")
        done = run_command(host, "--metrics", ADDRESS)
    assert done.returncode == 1
    assert "serving metrics at ::1 port 9109: Address already in use" in done.stderr


@pytest.mark.usefixtures("metered")
def test_the_examples_ask_for_what_is_served(host: Host) -> None:
    """A rule over a misspelt name never fires."""
    served = {family.name for family in text_string_to_metric_families(exposition(host))}
    dashboard = CHECKOUT / "docs/grafana.json"
    assert json.loads(dashboard.read_text())["panels"]
    for page in (CHECKOUT / "docs/alerts.yaml", dashboard):
        asked = re.findall(r"\bdockeripv6mapper_\w+", page.read_text())
        assert asked
        assert {re.sub(r"_(total|bucket)$", "", name) for name in asked} <= served
