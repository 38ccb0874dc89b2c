"""``rio sarcodec compress``."""

from __future__ import annotations

import click
from rasterio.rio import options as rio_options

from sarz_format.quality import DEFAULT_QUALITY, MAX_QUALITY, MIN_QUALITY

from . import options
from .batch import Report, run_jobs
from .console import Console, Progress
from .failures import one_line_failures
from .jobs import Job, check_summary, compress_jobs


@click.command(short_help="Compress rasters to .sarz.")
@click.argument("files", nargs=-1, required=True, metavar="INPUT OUTPUT | INPUT... -o DIR")
@options.output_opt
@click.option(
    "--quality",
    type=click.IntRange(MIN_QUALITY, MAX_QUALITY),
    show_default=str(DEFAULT_QUALITY),
    help="From the smallest file to the finest; docs/cli.md maps it to the error in dB.",
)
@options.rmse_db_opt
@options.ratio_opt
@options.bpp_opt
@options.max_error_db_opt
@options.max_error_opt
@options.lossless_opt
@click.option(
    "--scale",
    type=click.Choice(["auto", "amplitude", "intensity", "db"]),
    default="auto",
    show_default=True,
    help="What the pixels are: amplitude (GRD digital numbers), linear power, or decibels.",
)
@click.option(
    "--tile-size",
    type=click.IntRange(64, 4096),
    default=512,
    show_default=True,
    help="Pixels a side of a tile, a multiple of 64.",
)
@rio_options.bidx_mult_opt
@rio_options.nodata_opt
@click.option("--model", default="auto", show_default=True, help="Id of an installed model, or a model's folder.")
@options.device_opt
@options.batch_size_opt
@options.overwrite_opt
@options.quiet_opt
@options.json_opt
@options.summary_opt
@click.pass_context
@one_line_failures
def compress(
    ctx: click.Context,
    files: tuple[str, ...],
    output: str | None,
    quality: int | None,
    rmse_db: float | None,
    ratio: float | None,
    bpp: float | None,
    max_error_db: float | None,
    max_error: float | None,
    lossless: bool,
    scale: str,
    tile_size: int,
    bidx: tuple[int, ...],
    nodata: float | None,
    model: str,
    device: str,
    batch_size: str | int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    summary: str | None,
) -> None:
    """Compress a raster to a .sarz file, or several into a directory.

    INPUT is whatever rasterio opens, URLs included. OUTPUT must end in .sarz. Unless it is lossless, each file is
    decoded again as it is written, and the report gives the error measured so.

    \b
      rio sarcodec compress scene.tif scene.sarz
      rio sarcodec compress scene.tif small.sarz --quality 30 --bidx 1
      rio sarcodec compress scene.tif half_a_db.sarz --rmse-db 0.5
      rio sarcodec compress scene.tif sure.sarz --max-error-db 0.5
      rio sarcodec compress scene.tif exact.sarz --lossless
      rio sarcodec compress *.tif -o compressed --summary summary.json
    """
    options.one_goal(quality=quality, rmse_db=rmse_db, ratio=ratio, bpp=bpp, max_error_db=max_error_db,
                     max_error=max_error, lossless=lossless)
    jobs = compress_jobs(files, output)
    check_summary(summary, jobs, overwrite)
    with ctx.obj["env"]:
        from sarz_format import convert

        from .report import compress_text

        def work(job: Job, progress: Progress | None) -> Report:
            return convert.compress(
                job.input,
                job.output,
                quality=quality,
                rmse_db=rmse_db,
                ratio=ratio,
                bpp=bpp,
                max_error_db=max_error_db,
                max_error=max_error,
                lossless=lossless,
                scale=scale,
                tile_size=tile_size,
                indexes=list(bidx) or None,
                nodata=nodata,
                model=model,
                device=device,
                batch_size=batch_size,
                overwrite=overwrite,
                progress=progress,
            )

        console = Console(quiet=quiet, as_json=as_json)
        run_jobs("compress", jobs, work, compress_text, console, summary=summary, overwrite=overwrite)
