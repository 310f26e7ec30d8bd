"""Neighbour Discovery (RFC 4861): the messages that the mapper sends and receives on an uplink.

messages       solicitations and advertisements as bytes: pack, parse, validate; pure
sockets        raw ICMPv6 sockets: send a message, receive the valid ones
announcements  the messages that announce an address to routers, and the answers to its probe
responder      a thread that answers solicitations where the kernel's answers do not reach the router
repeats        whether a solicitation is a repeated one, so that the responder has to answer; pure
neighbours     which routers and neighbours the kernel cannot resolve on an uplink
"""
