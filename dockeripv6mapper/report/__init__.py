"""Facts → tables and JSON, records → lines, for people and for programs.

status   every labelled container, as a table, as JSON, and as a tree by uplinks and networks
exports  their names and addresses, for what resolves names
doctor   the findings of the checks
plan     what one pass would do
metrics  the loop's doings in numbers
logs     log records → lines, for people, the journal and programs
"""
