"""Chaos tests: random operations and faults from a seed, on a real engine with the real daemon.

A sequence is plain data. The same seed gives the same sequence, and any subsequence can be run too: so a
failing sequence can be shortened. At each convergence check, engine and kernel must come to the state that
`mapping` decides, and every container must have all settings of its user. Invariants are checked all along.

    steps           the steps: operations of a user, faults of the host, the engine and the daemon
    step_generator  draws a sequence of steps from a seed
    runner          runs a sequence on a host with its daemon, and checks convergence
    operations      the user's operations, as `docker` commands
    faults          injects the faults
    relay           a socket between daemon and engine: closes connections, drops events, intercepts requests
    user_settings   a record of what users set on each network: addresses, aliases, links, driver options
    oracle          the expected state of engine and kernel, and the differences from it
    invariants      what must hold at all times
    shrink          a failing sequence → a shorter one
    __main__        tests/chaos
"""
