"""All that speaks to Docker: thin translations between the engine's API and `model`. Decides nothing.

client             one method for each API call: lists, inspections, connect, disconnect, events
connection         the engine's address, the version of its API, Docker's client for both
errors             exceptions of Docker's library, of sockets and of parsing → our errors
translate          the engine's JSON → `model`
events             the event stream, as hints that something changed
http               a request on the engine's local socket, and the event stream
listed             a list from the engine, with its unreadable items
cache              the in-memory picture of containers and networks, fed by lists and events
endpoints          connect, reconnect, release, vacate: safe against the death of the process
attachments        the connect and disconnect calls of which a change of an endpoint consists
recovery           finishing a change of an endpoint that was cut off
endpoint_settings  the API's `EndpointSettings`: the user's settings, and our marks
mac_addresses      whether the user chose an endpoint's MAC address
journal            what was begun on an endpoint and must be finished, noted on disk meanwhile
config             how the engine, its networks and its containers are set up, for `doctor` only
"""
