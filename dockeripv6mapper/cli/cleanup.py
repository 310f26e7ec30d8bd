"""`cleanup`: nothing of the mapper's is left on the host."""

import typer

from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Settings


def cleanup(context: typer.Context) -> None:
    """Remove every proxy entry and firewall object that carries the mapper's mark, and nothing else."""
    from dockeripv6mapper.kernel import firewall
    from dockeripv6mapper.kernel.host import Kernel

    settings: Settings = context.obj
    kernel = Kernel(settings.state_dir)
    try:
        ours = sorted(entry for entry, is_ours in kernel.observe().entries.items() if is_ours)
        outcome = kernel.remove_proxies(() if settings.dry_run else ours)
    finally:
        kernel.close()
    objects = [f"proxy entry {entry}" for entry in (ours if settings.dry_run else outcome.done)]
    removed, errors = firewall.cleanup(settings.fwmark, dry_run=settings.dry_run)
    objects += removed
    for each in objects:
        typer.echo(f"{'would remove' if settings.dry_run else 'removed'} {each}")
    errors += outcome.failed.values()
    if errors:
        raise MapperError(f"not all was removed: {'; '.join(map(str, errors))}", hint=errors[0].hint)
    if not objects:
        typer.echo("nothing to remove: nothing carries the mapper's mark")
