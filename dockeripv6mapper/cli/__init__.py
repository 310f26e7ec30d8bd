"""The command line: parse options, call the package, render results. Only this part sets exit codes.

main     the program without a command: the daemon, in the foreground or (`-d`) in the background
options  that program's options and their help texts
help     the program's help text, with options in groups
address  the addresses of container names
config   the value of each option, and what set it
unit     the systemd unit of this installation
status   every labelled container: table, tree, JSON, lines for /etc/hosts or a zone file
inspect  plan, doctor
cleanup  removal of everything that carries the mapper's mark
output   exit codes, stdout and stderr

Imports that only one command needs stand inside that command's function. So `--help` and `address --subnet`
load neither `docker` nor `pyroute2`, which take most of a second on a small machine.
"""
