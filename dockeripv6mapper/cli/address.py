"""`address`: the address that a container of some name would get."""

from ipaddress import IPv6Network
from typing import Annotated

import typer

from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Scheme, Settings


def address(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A container's name, or a Swarm task's service.slot.")],
    network: Annotated[str | None, typer.Option(help="A network of the engine, by name or ID.")] = None,
    subnet: Annotated[
        str | None, typer.Option(metavar="PREFIX/LENGTH", help="A subnet; needs no engine.")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="As the label ipv6.mapper.suffix.")] = None,
    scheme: Annotated[Scheme | None, typer.Option(help="As the daemon's option.")] = None,
) -> None:
    """Print the address that a container of this name would get."""
    from dockeripv6mapper.mapping import desired, labels
    from dockeripv6mapper.mapping.addressing import default_gateway
    from dockeripv6mapper.model import Network, RefusedError

    settings: Settings = context.obj
    if (network is None) == (subnet is None):
        raise typer.BadParameter("give one of --network and --subnet")
    try:
        if subnet is not None:
            prefix = _subnet(subnet)
            found = Network(
                "", subnet, "bridge", subnets=(prefix,), gateways=frozenset({default_gateway(prefix)})
            )
        else:
            from dockeripv6mapper.engine.client import Client
            from dockeripv6mapper.mapping.networks import Networks

            found = Networks(Client(settings.docker_host).networks()).find(str(network))
        number = None if suffix is None else labels.parse_suffix(suffix)
        result = desired.address_of(name, found, number, scheme or settings.scheme)
    except RefusedError as no:
        raise MapperError(f"computing the address of {name}: {no.refusal.detail}") from no
    typer.echo(str(result))


def _subnet(text: str) -> IPv6Network:
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--subnet") from error
