"""``rio sarcodec decompress``."""

from __future__ import annotations

import click
from rasterio.rio import options as rio_options

from sarz_format.tiff_options import COMPRESSIONS, reserved_options

from . import options
from .batch import Report, run_jobs
from .console import Console, Progress
from .failures import MisuseError, one_line_failures
from .jobs import Job, check_summary, decompress_jobs


@click.command(short_help="Write .sarz files back as GeoTIFF.")
@click.argument("files", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@options.output_opt
@click.option("--cog", is_flag=True, help="Write a Cloud Optimized GeoTIFF, with overviews.")
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    metavar="PIXELS",
    help="Pixels that a decoded tile sees of its neighbours, a multiple of 16; by default as many as make it exact. "
    "Fewer is faster.",
)
@click.option("--skip-damaged", is_flag=True, help="Write damaged tiles as nodata, and say which, instead of failing.")
@click.option(
    "--power-gains/--no-power-gains",
    default=True,
    help="Keep the mean power of blocks of 64 x 64 pixels (the default), or the least error in decibels.",
)
@rio_options.bidx_mult_opt
@options.window_opt
@rio_options.bounds_opt
@click.option(
    "--dtype",
    "-t",
    type=click.Choice(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]),
    help="Data type of the output; by default that of the raster which was compressed.",
)
@click.option(
    "--tiff-compress",
    type=click.Choice(COMPRESSIONS, case_sensitive=False),
    help="Lossless compression of the GeoTIFF.",
)
@rio_options.creation_options
@options.device_opt
@options.batch_size_opt
@options.overwrite_opt
@options.quiet_opt
@options.json_opt
@options.summary_opt
@click.pass_context
@one_line_failures
def decompress(
    ctx: click.Context,
    files: tuple[str, ...],
    output: str | None,
    cog: bool,
    overlap: int | None,
    skip_damaged: bool,
    power_gains: bool,
    bidx: tuple[int, ...],
    window: tuple[int, int, int, int] | None,
    bounds: tuple[float, float, float, float] | None,
    dtype: str | None,
    tiff_compress: str | None,
    creation_options: dict[str, str | None],
    device: str,
    batch_size: str | int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    summary: str | None,
) -> None:
    """Write .sarz files back as GeoTIFF.

    OUTPUT must end in .tif or .tiff, or be an existing directory. Without it, each output lies beside its input and
    has its name, ending in .tif.

    \b
      rio sarcodec decompress scene.sarz
      rio sarcodec decompress scene.sarz scene_cog.tif --cog
      rio sarcodec decompress scene.sarz part.tif --window '1024 2048 512 512'
      rio sarcodec decompress *.sarz -o rasters --co TILED=YES
    """
    if window is not None and bounds is not None:
        raise MisuseError("--window and --bounds exclude each other; give one of them")
    for name in reserved_options(creation_options):
        raise MisuseError(f"--co {name}: not a creation option of a GeoTIFF, the file itself says it; see gdalinfo --format GTiff")
    jobs = decompress_jobs(files, output)
    check_summary(summary, jobs, overwrite)
    with ctx.obj["env"]:
        from rasterio.windows import Window

        from sarz_format import convert

        from .report import decompress_text

        def work(job: Job, progress: Progress | None) -> Report:
            return convert.decompress(
                job.input,
                job.output,
                indexes=list(bidx) or None,
                window=Window(*window) if window is not None else None,
                bounds=bounds,
                dtype=dtype,
                cog=cog,
                overlap=overlap,
                skip_damaged=skip_damaged,
                power_gains=power_gains,
                compression=tiff_compress,
                creation_options=creation_options or None,
                device=device,
                batch_size=batch_size,
                overwrite=overwrite,
                progress=progress,
            )

        console = Console(quiet=quiet, as_json=as_json)
        run_jobs("decompress", jobs, work, decompress_text, console, summary=summary, overwrite=overwrite)
