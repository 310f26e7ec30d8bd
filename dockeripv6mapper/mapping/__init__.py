"""The heart: facts in, decisions out. No I/O, no clock, no logging.

facts         all that was observed, as one record
labels        what a container's labels and name say: network, suffix, ports, proxy, identity
image_labels  which labels were said by the user, and which by the image
networks      which network a label means, and what kind of network it is
addressing    identity or suffix + subnet → address, and the addresses that nobody may have
ports         what a label asks to be opened
claims        who wants, asked for or holds each address, and which of them has it
circles       who of several that hold each other's addresses makes way
desired       all containers together: who gets which address, what is proxied where, what is open
progress      how far each mapping has come, and how many have come how far
spared        what of ours stays although no known container needs it
sysctls       which values routing and proxying need, and in which order
planner       desired against observed → actions
"""
