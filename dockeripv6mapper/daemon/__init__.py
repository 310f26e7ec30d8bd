"""The daemon: the process around the controller.

process   what it needs before it may begin, its threads, its signals
detach    -d start, stop, restart
lock      no two in one network namespace, or with one state directory
netns_lock  the name that one holds in its network namespace
held_locks  which process holds a lock
pidfile   which process it is
systemd   what it tells the service manager: ready, alive, how many are mapped
"""
