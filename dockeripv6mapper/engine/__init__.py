"""All that speaks to Docker: thin translations between the engine's API and `model`. Decides nothing.

client             one method for each API call: lists, inspections, connect, disconnect, events
connection         the engine's address, the version of its API, Docker's client for both
errors             exceptions of Docker's library, of sockets and of parsing → our errors
translate          the engine's JSON → `model`
images             labels of images, and of which platform they are
events             the event stream, as hints that something changed
http               a request on the engine's local socket, and the event stream
listed             a list from the engine, with its unreadable items
cache              the in-memory picture of containers and networks, fed by lists and events
endpoints          connect, reconnect, release, vacate: safe against the death of the process
attachments        the connect and disconnect calls that a change of an endpoint makes
recovery           finishes a change of an endpoint that was interrupted
endpoint_settings  the API's `EndpointSettings`: the user's settings, and our marks
mac_addresses      whether the user chose an endpoint's MAC address
journal            notes on disk of changes of endpoints that have begun and are not finished
refusals           a file of what the engine will refuse again, for `status` and `doctor`
config             how the engine, its networks and its containers are set up, for `doctor` only
"""
