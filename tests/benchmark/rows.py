"""The rows, in the order in which they are run and shown."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.benchmark import bursts, command_line, firewall, first_process, latency, restarts, scale, takeover
from tests.benchmark.environment import Environment
from tests.benchmark.measurements import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """Something to measure."""

    measure: Callable[[Environment, int], Iterator[Measurement]]
    """Takes an environment and the number of repetitions; yields measurements for each condition."""
    repetitions: int
    """For `idle`, the number of containers."""


ROWS: Mapping[str, Row] = {
    "docker-run": Row(first_process.docker_run, 200),
    "create-start": Row(first_process.create_and_start, 40),
    "compose": Row(first_process.compose_up, 40),
    "swarm": Row(first_process.swarm_task, 40),
    "start-to-echo": Row(latency.start_to_echo, 40),
    "late-connect": Row(latency.late_connect, 20),
    "event-to-request": Row(latency.event_to_request, 100),
    "death-to-removal": Row(latency.death_to_removal, 40),
    "first-packet": Row(latency.first_packet, 40),
    "takeover": Row(takeover.takeover, 20),
    "flush-to-closed": Row(firewall.flush_to_closed, 20),
    "swapped-macs": Row(restarts.swapped_macs, 10),
    "burst": Row(bursts.burst, 5),
    "proxy-table": Row(scale.fill_proxy_table, 5),
    "listed-passes": Row(scale.listed_passes, 1),
    "fake-passes": Row(scale.fake_passes, 1),
    "memory-growth": Row(scale.memory_growth, 1),
    "idle": Row(scale.idle, 100),
    "commands": Row(command_line.commands, 10),
}
