"""Output of `ip6tables-save` and `nft -j` on real hosts, for a network with one container.

The bridge is `br-5314cea3e4c9`, its network 2001:db8:103:0:78::/80, the container's address ends in `::5`.
"""

import json
from pathlib import Path

from dockeripv6mapper.firewall_rules import Chains, Ruleset
from dockeripv6mapper.kernel.ip6tables import read_chains
from dockeripv6mapper.kernel.nft_chains import read_ruleset

LISTINGS = Path(__file__).parent / "nft"
"""The output of `nft -j list ruleset`."""

BRIDGE = "br-5314cea3e4c9"

ENGINE_28_NAT = """\
*raw
:PREROUTING ACCEPT [8:616]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 2001:db8:103:0:78::5/128 ! -i br-5314cea3e4c9 -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i br-5314cea3e4c9 -o br-5314cea3e4c9 -j DROP
-A DOCKER-BRIDGE -o br-5314cea3e4c9 -j DOCKER
-A DOCKER-CT -o br-5314cea3e4c9 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i br-5314cea3e4c9 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-5314cea3e4c9 ! -o br-5314cea3e4c9 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o br-5314cea3e4c9 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 2001:db8:103:0:78::/80 ! -o br-5314cea3e4c9 -j MASQUERADE
-A DOCKER -i br-5314cea3e4c9 -j RETURN
COMMIT
"""

ENGINE_28_ROUTED = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -m mark --mark 0x1000000/0x1000000 -m comment --comment DockerIPV6Mapper -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -o br-5314cea3e4c9 -p ipv6-icmp -j ACCEPT
-A DOCKER ! -i br-5314cea3e4c9 -o br-5314cea3e4c9 -j DROP
-A DOCKER-BRIDGE -o br-5314cea3e4c9 -j DOCKER
-A DOCKER-CT -o br-5314cea3e4c9 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i br-5314cea3e4c9 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-5314cea3e4c9 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -o br-5314cea3e4c9 -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -i br-5314cea3e4c9 ! -o br-5314cea3e4c9 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o br-5314cea3e4c9 -j DROP
-A DOCKER-USER -m mark --mark 0x1000000/0x1000000 -m comment --comment DockerIPV6Mapper -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i br-5314cea3e4c9 -j RETURN
COMMIT
"""

ENGINE_20_10_IP6TABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-5314cea3e4c9 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-5314cea3e4c9 -j DOCKER
-A FORWARD -i br-5314cea3e4c9 ! -o br-5314cea3e4c9 -j ACCEPT
-A FORWARD -i br-5314cea3e4c9 -o br-5314cea3e4c9 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-5314cea3e4c9 ! -o br-5314cea3e4c9 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-5314cea3e4c9 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 2001:db8:103:0:78::/80 ! -o br-5314cea3e4c9 -j MASQUERADE
-A DOCKER -i br-5314cea3e4c9 -j RETURN
COMMIT
"""

UFW = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw6-after-logging-forward - [0:0]
:ufw6-before-forward - [0:0]
:ufw6-user-forward - [0:0]
-A FORWARD -j ufw6-before-forward
-A FORWARD -j ufw6-after-logging-forward
-A ufw6-after-logging-forward -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw6-before-forward -m rt --rt-type 0 -j DROP
-A ufw6-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw6-before-forward -p ipv6-icmp -m icmp6 --icmpv6-type 1 -j ACCEPT
-A ufw6-before-forward -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT
-A ufw6-before-forward -j ufw6-user-forward
COMMIT
"""
"""ufw's rules log packets; the policy of FORWARD then drops them."""


def filter_table(*rules: str, policy: str = "ACCEPT", chains: str = "") -> str:
    """Return a table `filter` with a policy for FORWARD, these rules, and user chains by name."""
    heads = [f":FORWARD {policy} [0:0]", *(f":{chain} - [0:0]" for chain in chains.split())]
    return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])


def ruleset(rules: str, *nft: str, legacy: str = "") -> Ruleset:
    """Rules as `ip6tables-save` and `ip6tables-legacy-save` print them, and listings of nft by name."""
    objects = [
        each for name in nft for each in json.loads((LISTINGS / f"{name}.json").read_text())["nftables"]
    ]
    chains, hooks = read_ruleset(objects)
    all_chains: dict[str, Chains] = {"ip6tables": read_chains(rules), "nft": chains}
    return Ruleset(all_chains | ({"ip6tables-legacy": read_chains(legacy)} if legacy else {}), hooks)
