"""The lab: a router, up to two Docker hosts, and a real engine on each, on one bare machine.

    router   up to the internet, if there were one
      │      2001:db8:103::1/64
    ══╪══════════════════╤═══════════════════════  link0, a bridge: the provider's segment
      │                  │
    up0 ::2            up0 ::3                     the uplinks
    host distro1       host modern2                Docker Engine 20.10 and 28.5
      │                  │
    2001:db8:103:0:1::/80  2001:db8:103:0:2::/80   the containers' networks

Containers' subnets lie inside the router's /64: it takes them to be on its link and solicits them
there, and nobody answers. That is the case that the mapper is for.

Every box in the drawing is a network namespace that is named after the run (`dim-<pid>-router`). The
machine's own namespace, its engine and its files are not touched.

    commands    run a real tool, and say what went wrong
    waiting     poll a condition; there are no fixed sleeps
    processes   what /proc tells, and how ours are ended
    namespaces  network namespaces, and the links between them
    runs        who owns which lab; sweeps what a killed run left
    roots       what the machine must have; what is made once and cached
    boxes       process and mount namespaces, so that an engine ends without a trace
    engines     an engine: start, stop, kill, restart, and its command line
    hosts       a Docker host: its network, proxy entries, sysctls
    router      the router's side: ping, HTTP, neighbour cache
    topology    the drawing above, brought up and taken down
    mapper      the daemon under test, on a host of the lab
    systemd     a machine with a service manager, on a host's network
    manual      what the README tells to type
    clinic      a host on which all is well, to break things on and paste doctor's fixes
    scenes      what tests and demo put on a host, and what they then see of it
    modes       the ways in which an engine may filter
    ports       what a container serves, and which ports are reached from where
    vigil       what the router reaches all the time, with nothing left out
    scan, echo  programs that run in a namespace: a port scan, a UDP echo server
    swarm       all hosts as one swarm
    images      the program's own image, built upon a base of the lab's
    socket_proxy  an engine's socket of which only some requests get through
    __main__    python -m tests.lab up|down|shell|prepare
    picture     one host as it is, drawn
    narration   how the demo speaks
    chaos/      tests/chaos: operations and faults at random, from a seed
    demo        tests/demo: what the mapper does, for a newcomer
"""
