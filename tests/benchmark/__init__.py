"""The benchmark: what the mapper costs, beside what engine and kernel cost, in one run.

measurements   values, and what they have to keep within
rows           all rows, by name
environment        what a row plays on: the lab's hosts, the mapper at a priority, a machine under load
start_methods  ways to start a container
probes         small programs in the router's and the host's namespaces, which note when something happens
proxy_table    a program in the host's namespace: the kernel's table, filled
full_pass      a program in the host's namespace: a controller with many containers
churn          a program in the host's namespace: a controller through many lifetimes of containers
first_process  how many containers' first process sees the address
latency        from an engine's event to what the network sees of it
bursts         many containers at once
scale          many containers that stand, and the mapper idle
command_line   what a command takes
report         measurements as a table and as JSON
plots          measurements as PNG
__main__       python -m tests.benchmark [ROW …]
trace          the modules that a container passes through in the daemon: python -m tests.benchmark.trace
profiler       in front of the daemon: records the calls of its functions
"""
