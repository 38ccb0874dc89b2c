"""``rio sarcodec serve``."""

from __future__ import annotations

import json
import signal

import click

from . import options
from .failures import one_line_failures


@click.command(short_help="Serve .sarz files as GeoTIFFs over HTTP.")
@click.argument("root", metavar="FILE|FOLDER")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is every network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is any that is free.")
@click.option("--cache-mb", type=click.IntRange(min=64), default=384, show_default=True, help="Memory for tiles that are kept, MiB.")
@click.option("--cors", metavar="ORIGIN", help="Let pages of this origin (* for all) read with a browser.")
@options.quiet_opt
@click.pass_context
@one_line_failures
def serve(ctx: click.Context, root: str, host: str, port: int, cache_mb: int, cors: str | None, quiet: bool) -> None:
    """Serve a .sarz file, or all in a folder, as byte ranges of Cloud Optimized GeoTIFFs, until Ctrl-C.

    Whatever reads a COG over HTTP reads them: GDAL by /vsicurl/, QGIS. A line of JSON on standard output names the URLs;
    requests are logged on standard error. scene.sarz is at /scene.tif, and / lists what there is.

    \b
      rio sarcodec serve scene.sarz
      gdalinfo /vsicurl/http://127.0.0.1:8000/scene.tif
    """
    from sarz_format.serving import Server, Site

    def log(line: str) -> None:
        click.echo(line, err=True)

    with ctx.obj["env"], Server(Site(root, cache_mb << 20), host, port, origin=cors, log=None if quiet else log) as server:
        signal.signal(signal.SIGTERM, _interrupt)
        click.echo(json.dumps({"url": server.url, "files": server.urls()}))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if not quiet:
                click.echo("stopped", err=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
