"""The control loop: handles messages and timers one at a time, under one lock, and carries out the plan.

loop              messages and timers in, handlers out
queue             the bounded queue and its messages
container_events  handlers of the engine's container events
results           handlers of what lists, inspections, actions and commands bring
reconcile         desired → plan → apply, for some containers or for all
removal           whether a pass removes what no container needs, and what it spares
endpoints         the engine's part of a plan: one action per container at a time
host              the host's part of a plan: proxy entries
announcements     when a proxy entry is announced to routers, and what stops it
neighbours        removes the host's neighbour entry for a container after each start
sysctls           the host's part of a plan: sysctls, and router solicitations
firewall          the firewall's part of a plan: our nft table, one command at a time
inbound_count     counts containers by what gets in from outside, for the metrics
workqueue         the jobs that wait or run
jobs              the kinds of jobs and their results: engine calls, firewall commands
workers           pools of threads that run the jobs
shutdown          what the loop waits for before it ends
attempts          actions that did nothing or were refused, and are not repeated yet
timers            what is due later: resync, retries
log_changes       logs each state once, when it begins, changes or ends
unexpected        errors that are bugs, logged with their traceback
observers         the interfaces of service manager and metrics, and the reports to both
interfaces        what the controller uses of engine and kernel

From a create event to the connect request, all on the event reader's thread:
    engine.events.EventReader → loop.deliver → container_events.take → reconcile.evaluate_new
    → mapping.desired.update → mapping.planner.plan_endpoint → workqueue.act → engine.endpoints.begin
    → engine.journal.write (the note) → engine.client.send_connect → engine.http.post
With `--firewall closed` and in a dry run, the rest of the pass decides, as for any other change.

From a start event to the proxy entry and its announcement, on the same thread:
    engine.events.EventReader → loop.deliver → container_events.take
    → reconcile.evaluate → mapping.desired.update → mapping.planner.plan → host.apply
    → kernel.host.add_proxies → kernel.proxies.add → kernel.netlink.request
    → announcements.added → kernel.ndp.announcements.advertise

While the loop's thread handles something, events wait in the queue: loop.deliver → queue.put … loop.turn.

Threads: the loop's thread handles messages and timers under the loop's lock. The event reader's thread
handles container events under the same lock. Workers make engine calls and run commands; of the loop's state
they read only the cache's epoch and the contents of their job. The event reader, both watchers (netlink and
nftables) and signal handlers put messages into the queue. The responder (`kernel.ndp.responder`), the metrics
server and the lock on the network namespace have threads that do not touch the loop's state.
"""
