"""The group ``rio sarcodec`` and its ``--version``."""

from __future__ import annotations

import click

from .compare import compare
from .compress import compress
from .decompress import decompress
from .failures import one_line_failures, printable
from .info import info
from .preview import preview
from .serve import serve
from .verify import verify


def _show_versions(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    _echo_versions()
    ctx.exit()


@one_line_failures
def _echo_versions() -> None:
    from .versions import versions_text

    click.echo(printable(versions_text()))


@click.group(short_help="Compress SAR rasters to .sarz, and back.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_versions,
    help="Show the versions of package, format and models, and exit.",
)
def sarcodec() -> None:
    """Compress SAR rasters with a learned codec, and read them back.

    \b
      rio sarcodec compress scene.tif scene.sarz
      rio sarcodec info scene.sarz
      rio sarcodec decompress scene.sarz --cog
    """


sarcodec.add_command(compare)
sarcodec.add_command(compress)
sarcodec.add_command(decompress)
sarcodec.add_command(info)
sarcodec.add_command(preview)
sarcodec.add_command(serve)
sarcodec.add_command(verify)
