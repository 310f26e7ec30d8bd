"""Metrics, fetched by HTTP and parsed with the Prometheus client library."""

import json
import re
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.containers import run, run_labelled, wait_until_mapped
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.nodes import HTTP_GET
from tests.lab.prerequisites import CHECKOUT
from tests.lab.waiting import eventually

ADDRESS = "[::1]:9109"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metered(host: Host) -> Iterator[Mapper]:
    """A mapper with `--metrics`."""
    with Mapper(host, "--metrics", ADDRESS) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        yield mapper


def exposition(host: Host) -> str:
    """Return the served metrics as text."""
    return host.namespace.run(sys.executable, "-c", HTTP_GET, f"http://{ADDRESS}/metrics", "2").stdout


def scrape(host: Host) -> Samples:
    """Return the values by name (without prefix) and labels."""
    return {
        (sample.name.removeprefix("dockeripv6mapper_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(host))
        for sample in family.samples
    }


def test_container_is_counted_until_its_removal(host: Host, metered: Mapper) -> None:
    """Mapping, engine action, race, pass and event lag are counted; no label has the container's name."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    mapping = ("mappings", (("network", "he_ipv6"), ("state", "mapped")))
    eventually(lambda: scrape(host).get(mapping) == 1)
    samples = scrape(host)
    assert samples["engine_connected", ()] == 1
    assert samples["proxy_entries", ()] == 1
    access = "some" if host.engine.flavour.filters_ipv6 else "everything"
    eventually(lambda: scrape(host).get(("inbound", (("access", access),))) == 1, within=10)
    assert samples["engine_action_duration_seconds_count", (("action", "connect"), ("outcome", "done"))] == 1
    assert sum(value for (name, _), value in samples.items() if name == "races_total") == 1
    assert samples["pass_duration_seconds_count", (("scope", "full"),)] >= 1
    assert samples["event_lag_seconds_count", ()] >= 2
    assert 0 < samples["event_lag_seconds_sum", ()] < 2
    assert "mon_container" not in exposition(host)
    host.engine.docker("rm", "--force", "mon_container")
    eventually(lambda: mapping not in scrape(host))
    assert metered.running


def test_refusal_is_counted_by_reason_without_values_of_labels(host: Host, metered: Mapper) -> None:
    """Values chosen by users would be unbounded cardinality in Prometheus."""
    run(host, "stray", "--label", "ipv6.mapper.network=chosen-by-a-label")
    refusal = ("refusals", (("reason", "network-not-found"),))
    eventually(lambda: scrape(host).get(refusal) == 1)
    assert "chosen-by-a-label" not in exposition(host)
    assert metered.running


def test_engine_connected_is_0_while_the_engine_is_down(host: Host, metered: Mapper) -> None:
    """Metrics are still served."""
    eventually(lambda: scrape(host)["engine_connected", ()] == 1)
    host.engine.stop()
    eventually(lambda: scrape(host)["engine_connected", ()] == 0)
    assert metered.running


def test_metrics_address_in_use_is_a_startup_error(host: Host) -> None:
    """The daemon must not run unmonitored."""
    server = (sys.executable, "-u", "-m", "http.server", "--bind", "::1", "9109")
    with host.namespace.popen(*server) as other:
        assert other.stdout is not None
        assert other.stdout.readline().startswith("Serving HTTP")
        done = run_command(host, "--metrics", ADDRESS)
    assert done.returncode == 1
    assert "serving metrics at ::1 port 9109: Address already in use" in done.stderr


@pytest.mark.usefixtures("metered")
def test_example_alerts_and_dashboard_use_existing_metrics(host: Host) -> None:
    """A rule with a misspelt metric never fires."""
    served = {family.name for family in text_string_to_metric_families(exposition(host))}
    dashboard = CHECKOUT / "docs/grafana.json"
    assert json.loads(dashboard.read_text())["panels"]
    for page in (CHECKOUT / "docs/alerts.yaml", dashboard):
        names = re.findall(r"\bdockeripv6mapper_\w+", page.read_text())
        assert names
        assert {re.sub(r"_(total|bucket)$", "", name) for name in names} <= served
