"""Options that more than one command takes, and the parameter types behind them.

What rasterio's own commands have (``--bidx``, ``--bounds``, ``--nodata``, ``--co``) is taken from
:mod:`rasterio.rio.options` by each command, so that it means the same here.
"""

from __future__ import annotations

import math
import re
from typing import Any

import click

from .failures import MisuseError

input_arg = click.argument("files", nargs=-1, required=True, metavar="INPUT...")

output_opt = click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Existing directory for the outputs, which take the inputs' names. With one input it may also be a file.",
)

device_opt = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the networks run; auto takes the GPU where there is one.",
)

overwrite_opt = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")

quiet_opt = click.option("-q", "--quiet", is_flag=True, help="No progress bar and no report; errors are still shown.")

json_opt = click.option(
    "--json", "as_json", is_flag=True, help="Print the report as JSON, one line for each input."
)

summary_opt = click.option(
    "--summary",
    metavar="FILE",
    help="Write totals, the report of each file, failures and throughput to FILE as JSON.",
)


class BatchSize(click.ParamType):
    """``auto`` or a whole number of at least 1."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if value == "auto":
            return "auto"
        if isinstance(value, int):
            return value
        if not value.isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither 'auto' nor a whole number of at least 1", param, ctx)
        return int(value)


batch_size_opt = click.option(
    "--batch-size",
    type=BatchSize(),
    metavar="auto|N",
    default="auto",
    show_default=True,
    help="Tiles that go through the networks at once; auto is 1 on a CPU and 32 on a GPU. It never changes the result.",
)


class PositiveNumber(click.ParamType):
    """A finite number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self.fail(f"{value!r} is not a finite number above 0", param, ctx)
        return number


def one_goal(**goals: float | bool | None) -> None:
    """Raise MisuseError if more than one parameter of ``compress`` says what a file is to reach."""
    options = {f"--{name.replace('_', '-')}": value for name, value in goals.items()}
    given = [option for option, value in options.items() if value is not None and value is not False]
    if len(given) > 1:
        *others, last = options
        raise MisuseError(f"{' and '.join(given)} exclude each other; give one of {', '.join(others)} and {last}")


rmse_db_opt = click.option(
    "--rmse-db",
    type=PositiveNumber(),
    metavar="X",
    help="Instead of a quality: the root mean square error in dB that each tile is to have.",
)

ratio_opt = click.option(
    "--ratio",
    type=PositiveNumber(),
    metavar="X",
    help="Instead of a quality: bytes of the raw array over bytes of the file.",
)

bpp_opt = click.option(
    "--bpp", type=PositiveNumber(), metavar="X", help="Instead of a quality: bits of the file a pixel and band."
)


max_error_db_opt = click.option(
    "--max-error-db",
    type=click.FloatRange(0.01, 10),
    metavar="E",
    help="Instead of a quality: no valid pixel is off by more than E dB (0.01 to 10). No model is used.",
)

max_error_opt = click.option(
    "--max-error",
    type=PositiveNumber(),
    metavar="V",
    help="The same in the units of the raster: no valid pixel is off by more than V.",
)

lossless_opt = click.option(
    "--lossless",
    is_flag=True,
    help="Instead of a quality: every pixel comes back to the bit. No model is used.",
)


class PixelWindow(click.ParamType):
    """``'col_off row_off width height'``, with spaces or commas, in brackets or not; gives a tuple of four ints."""

    name = "window"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = re.split(r"[,\s]+", value.strip(" []()"))
        if len(parts) != 4 or not all(re.fullmatch(r"[+-]?\d+", part) for part in parts):
            self.fail(f"{value!r} is not 'col_off row_off width height' in whole pixels", param, ctx)
        col_off, row_off, width, height = (int(part) for part in parts)
        return col_off, row_off, width, height


window_opt = click.option(
    "--window",
    type=PixelWindow(),
    metavar="'COL ROW WIDTH HEIGHT'",
    help="Only this window, in pixels: 'col_off row_off width height', as in rasterio.windows.Window.",
)
