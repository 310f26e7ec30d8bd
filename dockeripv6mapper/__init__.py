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
    controller/           the daemon's loop: when to observe, plan, apply and retry;
    doctor/, teardown     beside it: the checks of `doctor`, the removals of `cleanup`
    observation           one observation of engine and kernel, for commands without a daemon
    engine/, kernel/      adapters: the only parts that speak to Docker and to Linux
    mapping/              the decisions; pure functions of facts, without I/O
    actions               the types of what a plan contains
    model, surroundings   the types of facts and decisions; facts for `doctor` only
    settings              the user's settings
    errors, backoff       what can fail, and how long to wait before a retry

Start with `mapping/desired.py` for what is decided, and `controller/loop.py` for when.
"""

__version__ = "0.1.0"
