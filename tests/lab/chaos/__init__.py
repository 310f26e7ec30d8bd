"""Chaos: operations and faults at random, from a seed, against a real engine with the real daemon.

A sequence is plain data: the same seed is the same sequence, and any part of it can be carried out too, so
that what breaks an invariant can be shortened. Whenever the sequence pauses, engine and kernel must come to
what `mapping` says of addresses, and every container must have all that its user asked for; what must hold at
all times is watched all along.

    steps          what a user does, and what befalls a host: drawn from a seed
    runner         the host, its daemon, and the steps carried out on it
    operations     what a user does, as the docker command does it
    faults         how each fault is brought about
    relay          between daemon and engine: cuts, swallows, and ends the daemon in the middle of a call
    user_settings  what the user asked for on each network: addresses, aliases, links, driver options
    oracle         what engine and kernel should be like, and how they differ from it
    invariants     what must hold at all times
    shrink         a sequence that breaks something → a shorter one
    __main__       tests/chaos
"""
