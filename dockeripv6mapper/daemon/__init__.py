"""The daemon: the process around the controller.

process   what it needs before it may begin, its threads, its signals
background  -d start, stop, restart
lock      no two with one state directory
pidfile   which process it is
notify    what it tells the service manager: ready, alive, how many are mapped
"""
