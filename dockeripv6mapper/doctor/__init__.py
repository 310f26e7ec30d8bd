"""`doctor`: checks that get facts and return findings. Pure, except for `collect`.

collect           reads the facts from engine, host and kernel, and runs the checks
facts             the facts that every check gets
finding           what a check returns
fixes             builds the shell commands; which one a finding prints is in its check
accept_fixes      the commands that accept packets which a rule drops
engine_checks     whether the engine answers, and whether its version is tested
host_checks       capabilities, network namespace, uplinks, sysctls
boot_checks       what an engine with nftables needs when the host boots
network_checks    each network that a label names
inbound_checks    whether packets from outside get to a network's containers
firewall_checks   what opening ports by label needs
mark_checks       other programs' rules that use the packet mark and break opened ports
container_checks  labels and refusals
default_route_checks  from which address containers send packets to the outside
"""
