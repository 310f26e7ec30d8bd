"""All that speaks to Docker: thin translations between the engine's API and `model`. Decides nothing.

client      the connection: lists, inspections, connect and disconnect; errors become ours
translate   the engine's JSON → `model`
events      the event stream, as hints that something changed
inventory   the in-memory picture of containers and networks, fed by lists and events
endpoints   connect, reconnect, release, restore: so that a death in between loses nothing
journal     what a reconnect has to put back, kept in a file while it is under way
workers     the few threads on which engine calls wait
"""
