"""What keeps the host right over time: one loop, one queue, one owner of all state.

loop              messages in, passes out: when what is looked at
container_events  what the engine tells of a container: what is done at once, and when it is looked at
results           what workers bring, taken in: answers, ended actions, and failures of either
reconcile         desired → plan → apply
kernel_side       the kernel's side of a pass, of which there are two; what is refused is tried again
host              the host's: proxy entries
host_sysctls      the host's sysctls, and what has to surround a change of them
firewall          the firewall's: ports
reachability      a warning of networks that let nothing in
workqueue         worker threads for engine calls and firewall commands; one action per container at a time
attempts          actions that did nothing or harm, and are not planned again yet
timers            what is done later
log_changes       says each thing once
unexpected        errors that are a fault of the program, logged with their traceback
queue             what the loop is told, and how many messages wait at most
races             whether a new container has its address before its first process runs
bulletin          how things are, said to the observers
observers         who is told how the daemon does: service manager, metrics
interfaces        what all of these ask of engine and kernel
"""
