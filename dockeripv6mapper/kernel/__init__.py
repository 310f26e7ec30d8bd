"""All that speaks to Linux: thin translations between netlink, /proc/sys and `model`. Decides nothing.

topology       links, addresses and routes, as far as they matter
proxies        the table of NDP proxy entries: which are there, which are ours, add and remove
neighbours     the table itself, over rtnetlink
ndp            what the neighbours are told
firewall       our table and rules in the firewall (nft_ruleset: the table as text, and back)
commands       the programs that change and list it
filtering      everybody's rules in ip6tables and nftables, read and never changed
forwarding     what is forwarded when forwarding is switched on
sysctls        /proc/sys/net/ipv6
watch          a thread that hears of changes to links, addresses and routes
notifications  which of them only renew a lifetime
"""
