"""Accept fixes: the commands that accept packets which a rule drops now.

ufw and firewalld write their own rules again when they are reloaded and at each boot, so a rule for them goes
into their configuration. Tried with ufw 0.36.2 and firewalld 1.3.
"""

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.fixes import operands, quoted
from dockeripv6mapper.firewall_rules import NFT_COMMAND, Chains
from dockeripv6mapper.mapping.netfilter import Verdict
from dockeripv6mapper.model import Network

FORWARD = "FORWARD"
USER_CHAIN = ("filter", "DOCKER-USER")
UFW_CHAIN = ("filter", "ufw6-before-forward")
UFW_RULES = "/etc/ufw/before6.rules"
FIREWALLD_TABLE = "inet firewalld"
FIREWALLD = """\
# this lets through to this bridge whatever the engine does not drop; with an engine before 27, which drops
# nothing, start the daemon with --firewall closed first. It makes the zone and the policy that an engine
# makes if firewalld runs when it starts:
firewall-cmd --permanent --get-zones | grep -qw docker || firewall-cmd --permanent --new-zone docker
firewall-cmd --permanent --zone docker --set-target ACCEPT
firewall-cmd --permanent --zone docker --add-interface {bridge}
firewall-cmd --permanent --new-policy dockeripv6mapper
firewall-cmd --permanent --policy dockeripv6mapper --add-ingress-zone ANY
firewall-cmd --permanent --policy dockeripv6mapper --add-egress-zone docker
firewall-cmd --permanent --policy dockeripv6mapper --set-target ACCEPT
firewall-cmd --reload"""


def accept(facts: DoctorFacts, network: Network, dropped: Verdict, match: str, nft_match: str) -> str:
    """The commands that accept the dropped packets ahead of the rule that drops them.

    `match` and `nft_match`: the same match for ip6tables and for nft.

    The rule goes into DOCKER-USER, which a restart of the engine keeps. If a rule of FORWARD itself drops the
    packets, it goes into FORWARD. With ufw and without DOCKER-USER, it goes into ufw's file. For nftables, it
    goes into the base chain in which the trace began.
    """
    if dropped.command == NFT_COMMAND:
        if dropped.table == FIREWALLD_TABLE:
            return FIREWALLD.format(bridge=quoted(str(network.bridge)))
        return f"nft insert rule {operands([*dropped.table.split(), dropped.base])} {nft_match} accept"
    chains: Chains = facts.ruleset.chains[dropped.command]
    if dropped.table != "filter":
        chain = dropped.base
    elif not dropped.is_rule_of(FORWARD) and USER_CHAIN in chains:
        chain = USER_CHAIN[1]
    elif not dropped.is_rule_of(FORWARD) and UFW_CHAIN in chains:
        rule = f"-A {UFW_CHAIN[1]} {match} -j ACCEPT"
        return f"sed -i {quoted(f'/^:{UFW_CHAIN[1]} /a {rule}')} {UFW_RULES}\nufw reload"
    else:
        chain = FORWARD
    return f"{dropped.command} -t {dropped.table} -I {chain} {match} -j ACCEPT"
