"""``rio sarcodec verify``."""

from __future__ import annotations

import math
from typing import Any

import click
from rasterio.rio import options as rio_options

from sarz_format.urls import public_name

from . import options
from .console import Console
from .failures import FAILED, FAILURES, MisuseError, failure_text, one_line_failures
from .report import bound_text


@click.command(short_help="Check .sarz files to the last byte.")
@options.input_arg
@click.option(
    "--against",
    metavar="RASTER",
    help="The raster that the one INPUT was made from: measure the error anew, and compare what is stored exactly.",
)
@rio_options.bidx_mult_opt
@options.device_opt
@options.batch_size_opt
@options.quiet_opt
@options.json_opt
@click.pass_context
@one_line_failures
def verify(
    ctx: click.Context,
    files: tuple[str, ...],
    against: str | None,
    bidx: tuple[int, ...],
    device: str,
    batch_size: str | int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check .sarz files: all checksums, and every tile decoded. Names all damaged tiles.

    With --against the true error is measured, and must equal the recorded one to the last digit and keep the file's
    bound, if it has one; --bidx says which of the raster's bands the file holds, where it was made of some only.

    \b
      rio sarcodec verify *.sarz
      rio sarcodec verify scene.sarz --against scene.tif --json
    """
    if against is not None and len(files) > 1:
        raise MisuseError(f"--against compares one file with its raster, but {len(files)} were given; do them apart")
    if bidx and against is None:
        raise MisuseError("--bidx chooses bands of the raster to compare with; give it with --against")
    console = Console(quiet=quiet, as_json=as_json)
    failed = False
    with ctx.obj["env"]:
        for number, name in enumerate(files, 1):
            shown = public_name(name)
            label = shown if len(files) == 1 else f"[{number}/{len(files)}] {shown}"
            arguments = {"indexes": list(bidx) or None, "device": device, "batch_size": batch_size}
            failed |= not _verify_one(name, against, label, console, arguments)
    if failed:
        raise click.exceptions.Exit(FAILED)


def _verify_one(name: str, against: str | None, label: str, console: Console, arguments: dict[str, Any]) -> bool:
    """Check one file and report; whether all was well."""
    from sarz_format.verification import verify as verify_file

    try:
        with console.warnings_of(name), console.progress(label) as progress:
            report = verify_file(name, against, progress=progress, **arguments).to_json()
    except FAILURES as error:
        console.error(error, name)
        if console.as_json:
            console.report({"input": public_name(name), "error": failure_text(error), "kind": type(error).__name__}, "")
        return False
    console.report(report, verify_text(report))
    for problem in report["problems"]:
        console.error(f"{name}: {problem}", name)
    return report["ok"]


def verify_text(report: dict[str, Any]) -> str:
    """What was checked and found, for a reader; the problems themselves are told as errors."""
    verdict = "sound" if report["ok"] else f"{len(report['problems'])} problem(s)"
    damaged = len(report["damaged_tiles"])
    lines = [
        f"{report['input']}: {verdict}",
        f"  tiles    {report['tiles']} checked, {damaged} damaged, {report['bytes_read']:,} bytes read, "
        f"{report['arithmetic']}, in {report['seconds']:.1f} s",
    ]
    for band in report["bands"]:
        lines.append(f"  band {band['band']:<4}recorded {_error_text(band['recorded'])}")
        if band["measured"] is not None:
            lines.append(f"           measured {_error_text(band['measured'])}{_comparison_text(band['measured'])}")
    if report["bound"] is not None:
        outside = report["bound"]["pixels_outside"]
        kept = "" if outside is None else ": kept" if not outside else f": NOT KEPT by {outside:,} pixels"
        lines.append(f"  bound    {bound_text(report['bound'])[8:]}{kept}")
    return "\n".join(lines + [f"  note     {note}" for note in report["notes"]])


def _error_text(errors: dict[str, Any]) -> str:
    rmse_db = errors["rmse_db"]
    if rmse_db is None or math.isnan(rmse_db):
        return "no error: every pixel is stored exactly"
    count = f"over {errors['pixels_compared']:,} pixels"
    return f"RMSE {rmse_db:.3f} dB, bias {errors['bias_db']:+.3f} dB, worst {errors['max_error_db']:.2f} dB {count}"


def _comparison_text(measured: dict[str, Any]) -> str:
    place = "" if measured["worst_row"] is None else f" (row {measured['worst_row']}, column {measured['worst_col']})"
    return f"{place}, {'equal' if measured['equals_recorded'] else 'NOT EQUAL'}"
