"""Decisions: facts in, plans out. Pure: no I/O, no clock, no logging.

facts           everything that was observed, as one record
labels          the labels of containers and networks, and a container's identity
image_labels    which labels come from the user, and which from the image
networks        which network a label names, its subnet, and which containers can be connected
addressing      identity or suffix + subnet → address, and the reserved addresses
proxying        which addresses the host answers for, and every reason why not
ports           the ports that a label opens
links           which links are the engine's or a guest's; a link by any of its names
uplinks         the links on which the host answers for addresses
resolution      labels of one container → mapping or refusal
default_routes  whether a container may send from another address than its mapped one
claims          which container has an address that several want; cycles of swapped addresses
desired         the decision on every container, the others considered
needs           what containers need of the host: proxy entries, ports, routing
spared          addresses at which no proxy entry or port is removed, since too little is known
wanted_sysctls  which sysctls routing and proxying need, and in which order
planner         desired against observed → the plan
rule_matches    the words of a firewall rule, and whether they match a packet
netfilter       what the host's firewall rules decide on a packet
reachability    which packets from outside the firewall rules let in to a container
state           whether each container is mapped, pending or refused, and how many are
"""
