"""All that speaks to Docker: thin translations between the engine's API and `model`. Decides nothing.

client             the connection: lists, inspections, connect and disconnect; errors become ours
connection         its address, the version of its API, and Docker's client for both
errors             what goes wrong with a call, or cannot be read of its answer, as our errors
translate          the engine's JSON → `model`
events             the event stream, as hints that something changed
http               a request on the engine's local socket, and the event stream
listed             a list of the engine's, with the items that cannot be read
cache              the in-memory picture of containers and networks, fed by lists and events
endpoints          connect, reconnect, release, restore: so that a death in between loses nothing
attachments        attaching a detached container again, with all that its user set
recovery           finishing a change of an endpoint that was begun and not ended
endpoint_settings  what the user set on an endpoint: kept, marked, given back
mac_addresses      whether an endpoint's MAC address was chosen by its user
journal            what was begun on an endpoint and must be finished, noted on disk meanwhile
config             how the engine, its networks and its containers are set up, for `doctor` only
"""
