"""The checks: facts in, findings out. Pure, but for `collect`; what they are handed stands in `facts`.

engine      can it be spoken to, and is it one that the mapper knows
host        permissions, namespace, uplinks, sysctls
networks    each network that a label names
inbound     what becomes of a packet from outside, by the rules that are there
firewall    what it takes to open ports by label
containers  labels and refusals
netfilter   a packet's way through the chains of ip6tables
fixes       the commands that findings say
collect     the look at engine, host and kernel that the checks go by
"""
