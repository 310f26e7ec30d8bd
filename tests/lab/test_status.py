"""`status`: what there is, told by engine and kernel, with or without a daemon."""

import json
from typing import Any

from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.scenes import SUFFIX, mapped, run_labelled
from tests.lab.waiting import eventually


def status(host: Host) -> tuple[int, dict[str, Any], str]:
    """Exit code, what `status --json` prints, and what it says besides."""
    done = run_command(host, "status", "--json")
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_mapped_container_is_shown_as_it_is(host: Host, mapper: Mapper) -> None:
    """Address, proxy entry and open ports as engine and kernel have them; exit code 0."""
    mapper.wait_for_log("proxying neighbour discovery")
    container_id = run_labelled(host, "mon_container", "--label", "ipv6.mapper.ports=80,53/udp")
    address = str(mapped(host))
    mapper.wait_for_log("opened 53/udp")
    code, shown, besides = status(host)
    assert shown["uplinks"] == [{"name": UPLINK, "proxy_ndp": "1", "forwarding": "1", "accept_ra": "2"}]
    assert shown["containers"] == [
        {
            "id": container_id,
            "name": "mon_container",
            "network": "he_ipv6",
            "address": address,
            "actual": address,
            "state": "mapped",
            "reason": None,
            "detail": None,
            "proxied": [UPLINK],
            "ports": ["80/tcp", "53/udp"],
        }
    ]
    assert (code, besides) == (0, "")
    table = run_command(host, "status").stdout
    for part in ("mon_container", address, "mapped", UPLINK, "80/tcp 53/udp"):
        assert part in table


def test_a_refusal_is_shown_with_its_remedy_and_exit_code_3(host: Host, mapper: Mapper) -> None:
    """In words, for people."""
    run_labelled(host, "mon_container", "--label", "ipv6.mapper.suffix=1")
    mapper.wait_for_log("is not mapped")
    code, shown, _ = status(host)
    (row,) = shown["containers"]
    assert (code, row["state"], row["reason"]) == (3, "refused", "gateway")
    assert "try: another ipv6.mapper.suffix" in run_command(host, "status").stdout


def test_it_tells_the_truth_without_a_daemon_and_says_that_there_is_none(host: Host) -> None:
    """A container that nobody has mapped yet is pending."""
    run_labelled(host, "mon_container")
    code, shown, besides = status(host)
    (row,) = shown["containers"]
    assert (row["state"], row["address"], row["actual"]) == ("pending", str(host.subnet[SUFFIX]), None)
    assert code == 3
    assert "no daemon runs" in besides
    with Mapper(host):
        mapped(host)
        eventually(lambda: status(host)[0] == 0)
        assert "no daemon" not in status(host)[2]
    assert "no daemon runs" in status(host)[2]
