"""``rio sarcodec compare``."""

from __future__ import annotations

import click
from rasterio.rio import options as rio_options

from . import options
from .console import Console
from .failures import one_line_failures


@click.command(short_help="Measure how one raster differs from another.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@rio_options.bidx_mult_opt
@click.option(
    "--scale",
    type=click.Choice(["auto", "amplitude", "intensity", "db"]),
    default="auto",
    show_default=True,
    help="What the pixels of both are: amplitude (GRD digital numbers), linear power, or decibels.",
)
@click.option("--plot", metavar="FILE.png", help="Draw maps, ratio image and histograms; needs matplotlib.")
@options.device_opt
@options.batch_size_opt
@options.overwrite_opt
@options.quiet_opt
@options.json_opt
@click.pass_context
@one_line_failures
def compare(
    ctx: click.Context,
    a: str,
    b: str,
    bidx: tuple[int, ...],
    scale: str,
    plot: str | None,
    device: str,
    batch_size: str | int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure how raster B differs from the reference A: error, radiometry, looks, targets, edges, ratio image.

    Each is a .sarz file or whatever rasterio opens. docs/comparison.md says how each measure is defined.

    \b
      rio sarcodec compare scene.tif scene.sarz
      rio sarcodec compare scene.tif filtered.tif --bidx 1 --plot comparison.png
    """
    console = Console(quiet=quiet, as_json=as_json)
    with ctx.obj["env"]:
        from sarz_format.comparison.run import compare as compare_rasters

        from .compare_text import compare_text

        with console.warnings_of(a), console.progress(f"{a} and {b}") as progress:
            report = compare_rasters(
                a,
                b,
                indexes=list(bidx) or None,
                scale=scale,
                plot=plot,
                device=device,
                batch_size=batch_size,
                overwrite=overwrite,
                progress=progress,
            ).to_json()
        console.report(report, "" if as_json else compare_text(report))
