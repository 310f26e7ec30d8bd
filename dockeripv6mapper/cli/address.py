"""`address`: the address that a container with a given name would get."""

import re
import sys
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

import typer

from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Scheme, Settings

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""The container names that the engine accepts (moby, `daemon/names`)."""


def address(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A container's name, or a Swarm task's service.slot.")],
    *,
    network: Annotated[str | None, typer.Option(help="A network of the engine, by name or ID.")] = None,
    subnet: Annotated[
        str | None, typer.Option(metavar="PREFIX/LENGTH", help="A subnet; needs no engine.")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="As the label ipv6.mapper.suffix.")] = None,
    scheme: Annotated[Scheme | None, typer.Option(help="As the daemon's option --scheme.")] = None,
) -> None:
    """Print the address that a container of this name would get.

    With --network the daemon's own rules decide: the address of the host, of a router or of another
    container is an error.
    """
    from dockeripv6mapper.model import RefusedError

    if not NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is a name that no container can have", param_hint="NAME")
    settings: Settings = context.obj
    settings = replace(settings, scheme=scheme or settings.scheme)
    try:
        if network is not None and subnet is None:
            result = _on_network(name, network, suffix, settings)
        elif subnet is not None and network is None:
            result = _in_subnet(name, _subnet(subnet), suffix, settings)
        else:
            raise typer.BadParameter("give one of --network and --subnet")
    except RefusedError as error:
        from dockeripv6mapper.report.status import REMEDIES

        refusal = error.refusal
        hint = REMEDIES.get(refusal.reason)
        raise MapperError(f"computing the address of {name}: {refusal.detail}", hint=hint) from error
    typer.echo(str(result))


def _in_subnet(name: str, subnet: IPv6Network, suffix: str | None, settings: Settings) -> IPv6Address:
    """The address in a subnet alone: a network with the engine's default gateway and nothing else."""
    from dockeripv6mapper.mapping import addressing, labels, resolution
    from dockeripv6mapper.model import Network

    gateways = frozenset({addressing.default_gateway(subnet)})
    network = Network("", str(subnet), "bridge", subnets=(subnet,), gateways=gateways)
    number = None if suffix is None else labels.parse_suffix(suffix)
    return resolution.address_of(name, network, number, settings.scheme)


def _on_network(name: str, network: str, suffix: str | None, settings: Settings) -> IPv6Address:
    """The address that the daemon would give a container created now on a network of the engine."""
    from dockeripv6mapper import observation
    from dockeripv6mapper.mapping import labels
    from dockeripv6mapper.model import AddressMapping, Container, Refusal, RefusedError

    given = {labels.NETWORK: network} | ({} if suffix is None else {labels.SUFFIX: suffix})
    newest = Container(id="", name=name, labels=given, image="", created=sys.maxsize, running=False)
    match observation.foresee(settings, newest):
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
