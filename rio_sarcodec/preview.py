"""``rio sarcodec preview``."""

from __future__ import annotations

from typing import Any

import click
from rasterio.rio import options as rio_options

from . import options
from .console import Console
from .failures import MisuseError, one_line_failures


@click.command(short_help="Write a quicklook of a .sarz file as a PNG.")
@click.argument("src", metavar="INPUT")
@click.argument("dst", metavar="OUTPUT.png")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Pixels of the longer side, at most. The picture is the largest overview that has no more.",
)
@rio_options.bidx_mult_opt
@click.option("--rgb", is_flag=True, help="A pair of polarisations as red (VV), green (VH) and blue (VV / VH).")
@click.option(
    "--percentiles",
    nargs=2,
    type=click.FloatRange(0, 100),
    default=(2.0, 98.0),
    show_default=True,
    help="Of the valid pixels of a channel, in decibels: what becomes black, and white.",
)
@options.device_opt
@options.batch_size_opt
@options.overwrite_opt
@options.quiet_opt
@options.json_opt
@click.pass_context
@one_line_failures
def preview(
    ctx: click.Context,
    src: str,
    dst: str,
    size: int,
    bidx: tuple[int, ...],
    rgb: bool,
    percentiles: tuple[float, float],
    device: str,
    batch_size: str | int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a quicklook of a .sarz file: an overview, stretched in decibels, transparent where there are no data.

    From a factor of 8 on only the coarse parts of tiles are read. --bidx takes one band, or three for red, green and blue.

    \b
      rio sarcodec preview scene.sarz scene.png
      rio sarcodec preview scene.sarz scene.png --rgb --size 2048
    """
    if rgb and bidx:
        raise MisuseError("--rgb and --bidx exclude each other; give one")
    console = Console(quiet=quiet, as_json=as_json)
    with ctx.obj["env"]:
        from sarz_format.quicklook import preview as write_preview

        with console.warnings_of(src):
            report = write_preview(
                src,
                dst,
                size=size,
                indexes=list(bidx) or None,
                rgb=rgb,
                percentiles=percentiles,
                device=device,
                batch_size=batch_size,
                overwrite=overwrite,
            ).to_json()
        console.report(report, preview_text(report))


def preview_text(report: dict[str, Any]) -> str:
    """What the picture shows, for a reader."""
    shown = "the raster itself" if report["factor"] == 1 else f"overview 1:{report['factor']}"
    size, read = f"{report['width']} x {report['height']} pixels", f"{report['bytes_read']:,} bytes read"
    lines = [f"{report['output']}: {size}, {shown}, {read}, in {report['seconds']:.1f} s"]
    return "\n".join(lines + [f"  {_channel_text(channel)}" for channel in report["channels"]])


def _channel_text(channel: dict[str, Any]) -> str:
    if channel["low"] is None:
        return f"{channel['name']}: no valid pixel"
    return f"{channel['name']}: {channel['low']:.1f} to {channel['high']:.1f} {channel['unit']}".rstrip()
