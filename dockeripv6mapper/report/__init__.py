"""Facts → tables and JSON, for people and for programs. No I/O of its own.

status  every labelled container
tree    the same, by uplinks and networks
names   the same, for what resolves names
plan    what one pass would do
"""
