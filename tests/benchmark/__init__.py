"""The benchmark: what the mapper costs, compared in one run with what engine and kernel cost.

rows           all rows, by name
environment    what a row runs on: the lab's hosts, the mapper at a priority, idle or busy cores
measurements   measured values, and the limits that they must keep
start_methods  ways to start a container: docker run, Compose, Swarm
first_process  the share of containers whose first process sees the address
latency        from an engine's event to its effect on the network
firewall       from a flush of all rules until ports are closed again
bursts         many containers started at once
scale          the cost of many mapped containers: passes, memory, proxy entries, an idle daemon
command_line   run time of the commands
report         measurements as a table and as JSON
plots          measurements as PNG
__main__       python -m tests.benchmark [ROW …]

Programs that run in a namespace of the lab:

probes         print the time of an echo reply, a proxy entry's removal, a create event, the closing of a port
full_pass      full passes of a controller with many containers
churn          a controller while thousands of containers come and go
proxy_table    adding many proxy entries, compared with `ip -6 -batch`

trace          python -m tests.benchmark.trace: the modules that a container passes through in the daemon
profiler       runs the daemon and records the calls of its functions, for `trace`
"""
