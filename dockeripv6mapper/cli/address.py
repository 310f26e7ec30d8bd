"""`address`: the addresses that containers with given names would get."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Annotated

import typer

from dockeripv6mapper.cli.options import option
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Scheme, Settings

if TYPE_CHECKING:
    from dockeripv6mapper.model import Container, Decision

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""The container names that the engine accepts (moby, `daemon/names`)."""
STDIN = "-"
"""In the place of a name: the names are on stdin."""


def address(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            show_default=False,
            help="Containers' names, or Swarm tasks' service.slot; -: read them from stdin, one a line.",
        ),
    ],
    *,
    network: Annotated[
        str | None, option(metavar="NETWORK", help="A network of the engine, by name or ID.")
    ] = None,
    subnet: Annotated[str | None, option(metavar="PREFIX/LENGTH", help="A subnet; needs no engine.")] = None,
    suffix: Annotated[str | None, option(metavar="SUFFIX", help="As the label ipv6.mapper.suffix.")] = None,
    scheme: Annotated[Scheme | None, option(help="As the daemon's option --scheme.")] = None,
) -> None:
    """Print the address that a container of each name would get, one a line, in the order of the names.

    With --network the daemon's own rules decide: the address of the host, of a router or of another
    container is an error. If one name has no address, nothing is printed for the others.
    """
    if (network is None) == (subnet is None):
        raise typer.BadParameter("give one of --network and --subnet")
    settings: Settings = context.obj
    settings = replace(settings, scheme=scheme or settings.scheme)
    expanded = list(_expand(names))
    compute: Callable[[str], IPv6Address]
    if network is not None:
        from dockeripv6mapper import observation

        compute = partial(_on_network, network=network, suffix=suffix, decide=observation.foresee(settings))
    else:
        compute = partial(_in_subnet, subnet=_subnet(str(subnet)), suffix=suffix, settings=settings)
    addresses = [_address(name, compute) for name in expanded]
    for each in addresses:
        typer.echo(str(each))


def _expand(names: Iterable[str]) -> Iterator[str]:
    """The names, with the lines of stdin in the place of `-`. Empty lines are left out."""
    for given in names:
        for name in filter(None, map(str.strip, sys.stdin)) if given == STDIN else (given,):
            if not NAME.fullmatch(name):
                raise typer.BadParameter(f"{name!r} is a name that no container can have", param_hint="NAME")
            yield name


def _address(name: str, compute: Callable[[str], IPv6Address]) -> IPv6Address:
    """The address of one name. Raises `MapperError` that says why it has none."""
    from dockeripv6mapper.model import RefusedError

    try:
        return compute(name)
    except RefusedError as error:
        from dockeripv6mapper.report.status import REMEDIES

        refusal = error.refusal
        hint = REMEDIES.get(refusal.reason)
        raise MapperError(f"computing the address of {name}: {refusal.detail}", hint=hint) from error


def _in_subnet(name: str, subnet: IPv6Network, suffix: str | None, settings: Settings) -> IPv6Address:
    """The address in a subnet alone: a network with the engine's default gateway and nothing else."""
    from dockeripv6mapper.mapping import addressing, labels, resolution
    from dockeripv6mapper.model import Network

    gateways = frozenset({addressing.default_gateway(subnet)})
    network = Network("", str(subnet), "bridge", subnets=(subnet,), gateways=gateways)
    number = None if suffix is None else labels.parse_suffix(suffix)
    return resolution.address_of(name, network, number, settings.scheme)


def _on_network(
    name: str, network: str, suffix: str | None, decide: Callable[["Container"], "Decision"]
) -> IPv6Address:
    """The address that the daemon would give a container created now on a network of the engine."""
    from dockeripv6mapper.mapping import labels
    from dockeripv6mapper.model import AddressMapping, Container, Refusal, RefusedError

    given = {labels.NETWORK: network} | ({} if suffix is None else {labels.SUFFIX: suffix})
    newest = Container(id="", name=name, labels=given, image="", created=sys.maxsize, running=False)
    match decide(newest):
        case AddressMapping(address=result):
            return result
        case Refusal(address=IPv6Address() as result, reason=reason) if not reason.is_fault:
            return result  # the new container takes it over from its predecessor
        case Refusal() as refusal:
            raise RefusedError(refusal.reason, refusal.detail, refusal.address)
        case other:
            raise AssertionError(f"no decision on {name}: {other}")


def _subnet(text: str) -> IPv6Network:
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--subnet") from error
