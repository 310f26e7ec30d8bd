"""The benchmark: what the mapper costs, beside what engine and kernel cost, in one run.

outcomes       values, and what they have to keep within
rows           all rows, by name
stage          what a row plays on: the lab's hosts, the mapper at a priority, a machine under load
probes         small programs in the router's and the host's namespaces, which note when something happens
filling        a program in the host's namespace: the kernel's table, filled
standing       a program in the host's namespace: a controller with many containers
first_process  how many containers' first process sees the address
latency        from an engine's event to what the network sees of it
bursts         many containers at once
scale          many containers that stand, and the mapper idle
command_line   what a command takes
report         outcomes as a table and as JSON
plots          outcomes as PNG
__main__       python -m tests.benchmark [ROW …]
trace          the modules that a container passes through in the daemon: python -m tests.benchmark.trace
profiler       in front of the daemon: records the calls of its functions
"""
