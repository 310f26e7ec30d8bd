"""Facts and decisions as tables, JSON and lines; log records as lines; metrics.

status   every labelled container: table, JSON, tree by uplinks and networks
exports  names and addresses as lines for /etc/hosts or a zone file
plan     what one pass would do: table, JSON
doctor   the findings of the checks: lines, JSON
metrics  the controller's work in numbers, for Prometheus
logs     log records as lines: terminal, journal, JSON
"""
