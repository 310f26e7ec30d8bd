"""The heart: facts in, decisions out. No I/O, no clock, no logging.

labels       what a container's labels and name say: network, suffix, proxy, identity
networks     which network a label means, and what kind of network it is
ports         what a label asks to be opened
addressing   identity or suffix + subnet → address, and the addresses that nobody may have
desired      all containers together: who gets which address, and what is proxied where
planner      desired against observed → actions
"""
