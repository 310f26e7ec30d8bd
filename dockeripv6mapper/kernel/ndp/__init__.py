"""Neighbour Discovery (RFC 4861): what the mapper says on an uplink, and what it hears there.

messages       solicitations and advertisements as bytes: pack, parse, validate; pure
sockets        raw ICMPv6 sockets: send a message, receive the valid ones
announcements  the messages that announce an address, and the answers to its probe
"""
