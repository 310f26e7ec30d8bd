"""DockerIPV6Mapper: stable, reachable IPv6 addresses for labelled containers.

Data flows one way, observe → desired → plan → apply:

    observe  engine/ reads containers and networks, kernel/ reads links, routes, proxy entries and rules
    desired  mapping/ decides each container's address, or refuses it with a reason
    plan     mapping/ compares that with what was observed
    apply    controller/ has engine/ and kernel/ carry out the plan

Imports go down this list, never up; modules on one line do not import each other (see `pyproject.toml`):

    cli/                  the commands: options, output, exit codes
    daemon/               the process: locks, signals, systemd, background mode
    report/               tables, JSON, log lines, metrics
    controller/, doctor/, teardown   the daemon's loop; the checks of `doctor`; the removals of `cleanup`
    observation           one observation of engine and kernel, for commands without a daemon
    engine/, kernel/      adapters, the only parts that speak to Docker and to Linux
    mapping/              the decisions: pure functions of facts, without I/O
    actions               types of the actions in a plan
    model                 types of facts and decisions
    engine_config         types of facts about the engine, for `doctor` only
    firewall_rules        types of the host's firewall rules, for `status`, the metrics and `doctor`
    settings              the user's settings
    errors, backoff       kinds of failures; the delay before a retry

To read the decisions, start with `mapping/desired.py`; for their order in time, with `controller/loop.py`.
"""

__version__ = "0.1.0"
