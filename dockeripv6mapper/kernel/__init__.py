"""All that speaks to Linux: thin translations between netlink, /proc/sys and `model`. Decides nothing.

topology       links, addresses and routes, as far as they matter
proxies        the table of NDP proxy entries: which are there, which are ours, add and remove
ndp            what the neighbours are told
firewall       our table in nftables (nft_ruleset: the table as text, and back), and the chains of others
ip6tables      our rules among the engine's, and everybody's, which are read and never changed
commands       the programs that change and list both
sysctls        /proc/sys/net/ipv6
watch          a thread that hears of changes to links, addresses and routes
notifications  which of them only renew a lifetime
"""
