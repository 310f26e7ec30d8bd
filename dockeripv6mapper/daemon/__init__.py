"""The daemon: the process around the controller.

process     checks before the start, threads, signals
lock        one daemon for each state directory; which process holds a file lock
netns_lock  one daemon for each network namespace
systemd     sd_notify: readiness, watchdog, status line
detach      -d start, stop, restart, status; the pid file
"""
