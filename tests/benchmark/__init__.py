"""The benchmark: what the mapper costs, beside what engine and kernel cost, in one run.

outcomes       values, and what they have to keep within
rows           all rows, by name
stage          what a row plays on: the lab's hosts, the mapper at a priority, a machine under load
probes         small programs in the router's and the host's namespaces, which note when something happens
first_process  how many containers' first process sees the address
latency        from an engine's event to what the network sees of it
report         outcomes as a table, as JSON, as plots
__main__       python -m tests.benchmark [ROW …]
"""
