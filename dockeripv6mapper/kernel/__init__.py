"""All access to Linux: translates between netlink, /proc/sys, nft and `model`. Decides nothing.

host               `Kernel`, through which the daemon and the commands use all of this
netlink            rtnetlink sockets and messages
topology           links, addresses and routes, cached
routes             next hops of all routes, and which routes are default routes
watch              a thread that reports changes of uplinks at once
notifications      which netlink notifications are such a change
nft_notifications  which nftables notifications concern our table or our accept rules
requirements       whether proxy entries can be changed at all
proxies            NDP proxy entries: read, add, remove; which are ours
bridge_neighbours  the host's own neighbour entries for containers: remove
container_routes   from which address a container sends, read from its /proc files
ndp/               Neighbour Discovery: messages, sockets, announcements, answers
if_inet6           the addresses of a network namespace, read from its /proc files
sysctls            /proc/sys/net/ipv6
boot_sysctls       values that files of sysctl.d set at boot
firewall           our nftables table, the policy of FORWARD, other programs' nftables chains
nft_table          whether our nftables table exists, and its removal, without nft
nft_ruleset        our nftables table as text
ip6tables          all rules of ip6tables, and our accept rules among them
nft_chains         nftables chains, in the words of ip6tables
nft_matches        one match of an nftables rule
ruleset            all rules that a forwarded packet meets
commands           runs nft and ip6tables
"""
