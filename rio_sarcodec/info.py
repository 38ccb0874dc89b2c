"""``rio sarcodec info``."""

from __future__ import annotations

import click

from sarz_format.urls import public_name

from . import options
from .console import Console
from .failures import FAILED, FAILURES, failure_text, one_line_failures


@click.command(short_help="Show what a .sarz file holds.")
@options.input_arg
@click.option("--tiles", is_flag=True, help="Add a line for each tile: place, kind and bytes.")
@options.json_opt
@click.pass_context
@one_line_failures
def info(ctx: click.Context, files: tuple[str, ...], tiles: bool, as_json: bool) -> None:
    """Show what .sarz files hold: size, georeferencing, scale, models, sizes and measured errors.

    Only header and index are read; nothing is decoded.

    \b
      rio sarcodec info scene.sarz
      rio sarcodec info scene.sarz --tiles --json
    """
    console = Console(as_json=as_json)
    failed = False
    with ctx.obj["env"]:
        for name in files:
            try:
                _show(name, tiles, console)
            except FAILURES as error:
                failed = True
                console.error(error, name)
                if as_json:
                    failure = {"error": failure_text(error), "kind": type(error).__name__}
                    console.report({"input": public_name(name), **failure}, "")
    if failed:
        raise click.exceptions.Exit(FAILED)


def _show(name: str, tiles: bool, console: Console) -> None:
    from sarz_format.container import open_container
    from sarz_format.info import describe, format_text
    from sarz_format.source import open_source

    with open_source(name) as source:
        description = describe(open_container(source), tiles=tiles)
    console.report(description, "" if console.as_json else format_text(description))
