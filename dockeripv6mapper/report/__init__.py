"""Facts → tables and JSON, for people and for programs. No I/O of its own.

status  every labelled container
plan    what one pass would do
"""
