"""Facts → tables and JSON, records → lines, for people and for programs.

status   every labelled container
tree     the same, by uplinks and networks
exports  the same, for what resolves names
doctor   the findings of the checks
plan     what one pass would do
metrics  the loop's doings in numbers
logs     log records → lines, for people, the journal and programs
colours  log records on a terminal
formats  the forms that an option names
"""
