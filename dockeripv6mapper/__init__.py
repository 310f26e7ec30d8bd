"""DockerIPV6Mapper: stable, reachable IPv6 addresses for labelled containers.

Data goes one way, observe → desired → plan → apply, and imports go down this list:

    cli/          the commands: parse, call, render
    daemon/       the process: signals, permission, readiness, the threads that feed the controller
    report/       facts → tables and JSON; log lines; metrics
    controller/   the one loop, and all that it keeps right: one queue, one owner of all state
    doctor/       one look at all that may be wrong, and what is found: host, engine, networks, firewall
    teardown      all that is ours, removed, for `cleanup`
    observation   one look at engine and kernel, for the commands that look once
    engine/       all that speaks to Docker: client, cache, events, endpoints, journal, workers
    kernel/       all that speaks to Linux: topology, proxies, sysctls, firewall, filtering, leftovers, watch
    mapping/      the decisions, pure: labels, networks, addressing, ports, claims, desired, sysctls, planner
    actions       the frozen types of what is to be done
    model         the frozen types that everything above shares
    engine_config   how the engine, its networks and its containers are set up, for `doctor`
    firewall_rules  the rules of ip6tables and nftables, of any program
    settings      the settings, frozen
    errors        what can go wrong
    backoff       how long to wait before trying again

Start reading at `mapping/desired.py` for what is decided, at `controller/loop.py` for when.
"""

__version__ = "0.1.0"
