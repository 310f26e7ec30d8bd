"""The lab: a client, a router and up to three Docker hosts with real engines, in network namespaces.

    client  2001:db8:c::2                        a host on the internet
      │
    router                                       the provider's router, which forwards
      │      2001:db8:103::1/64
    ══╪══════════════════╤═══════════════════╤═════  link0, a bridge: the provider's segment
      │                  │                   │
    up0 ::2            up0 ::3             up0 ::4   the uplinks
    host oldest1       host stable2        host modern3
    Engine 20.10       Engine 26.1         Engine 28.5
      │                  │                   │
    …:0:1::/80         …:0:2::/80          …:0:3::/80  the containers' networks, below 2001:db8:103

The containers' subnets lie inside the router's /64. So the router treats them as on-link and sends neighbour
solicitations for them, which get no answer without a proxy entry. The mapper exists to solve this.

The router and each host are a network namespace named after the run (`dim-<pid>-router`). The machine's own
network namespace, engine and files are not changed.

Building blocks:
    commands             run a command; its failure is an exception with stderr
    waiting              poll a condition; nothing sleeps for a fixed time
    processes            find and kill processes by network namespace (/proc)
    namespaces           network namespaces, veth links, sysctls
    sandbox              PID and mount namespace of an engine; ends with everything inside
    prerequisites        tools that the machine needs; root file systems and packages, made once and cached
    engine_root          where an engine's files are: the machine, a Debian root, `--engine-root`
    runs                 which process owns which lab; removal of what a killed run left

The topology:
    engines              a Docker Engine: start, stop, kill, restart, `docker` commands
    hosts                a Docker host: networks, proxy entries, sysctls, reset
    nodes                the client: ping, TCP and HTTP from outside
    router               the router: neighbour cache, filters and the narrow link behind it
    topology             the drawing above: set up and torn down
    __main__             python -m tests.lab up|down|shell|prepare

What tests use:
    engine_choice        which engines a test runs on
    mapper               the daemon under test, and its one-shot commands
    containers           run labelled containers; read their addresses, endpoints and plan
    ports                run a server in a container; scan its ports from the client or from a container
    reachability         continuous pings and TCP connections, with the router's neighbour cache flushed
    uplinks              bridged, stacked and second uplinks; a changed MAC address
    firewall_modes       the ways in which an engine may filter IPv6
    socket_proxy         an allowlist proxy in front of an engine's socket
    swarm                hosts in one swarm
    systemd              a machine with systemd on a host's network (systemd-nspawn)
    images               the program's own image
    documented_commands  the commands that README and docs/ tell users to type
    healthy_host         a host where `doctor` finds nothing, to break things on and run its fixes

Programs that run inside a namespace:
    port_scan            a port scan
    udp_echo             a UDP echo server
    router_advertiser    sends router advertisements
    proxy_entry_writer   adds proxy entries with the mapper's own table
    topology_observer    prints what the mapper's topology observer reads

Others:
    demo, demo_output, demo_diagram   tests/demo: what the mapper does, for new users
    chaos/               tests/chaos: random operations and faults, from a seed
"""
