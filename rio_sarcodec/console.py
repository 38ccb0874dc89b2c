"""What a command shows: reports on standard output; errors, warnings and the progress bar on standard error."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rasterio.errors import NotGeoreferencedWarning

from sarz_format.errors import ArithmeticWarning, LargeTileWarning, TargetWarning, TileDamageWarning

from .failures import failure_text, printable

Progress = Callable[[int, int], None]
"""``(tiles done, tiles in all)``."""


class TileBar:
    """A progress bar in tiles that appears with the first call, when the number of tiles is known."""

    def __init__(self, label: str) -> None:
        self._label = printable(label)
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, show_pos=True, file=sys.stderr)
        self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.render_finish()


@dataclass(frozen=True, slots=True)
class Console:
    """The common options ``--quiet`` and ``--json``."""

    quiet: bool = False
    as_json: bool = False

    def report(self, report: dict[str, Any], text: str) -> None:
        """Print `report` as a line of JSON, or `text` unless quiet."""
        if self.as_json:
            click.echo(json.dumps(jsonable(report), allow_nan=False))
        elif not self.quiet:
            click.echo(printable(text))

    def note(self, text: str) -> None:
        """Print `text` for a reader; neither quiet nor JSON output has it."""
        if not self.quiet and not self.as_json:
            click.echo(printable(text))

    def error(self, error: BaseException, name: str) -> None:
        """One line on standard error about the file `name`."""
        click.echo(f"Error: {failure_text(error, name)}", err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress | None]:
        """A bar on standard error, where that is a terminal; otherwise None."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        bar = TileBar(label)
        try:
            yield bar
        finally:
            bar.close()

    @contextmanager
    def warnings_of(self, name: str) -> Iterator[None]:
        """Show Python warnings as one line each with the file's name, each text once, after the progress bar.

        What has to be known before the work starts is shown at once.
        """
        texts: dict[str, None] = {}

        def keep(message: Warning | str, *_: object, **__: object) -> None:
            text = failure_text(message, name)
            if isinstance(message, LargeTileWarning):
                click.echo(f"Warning: {text}", err=True)
            else:
                texts[text] = None

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", TileDamageWarning)
                warnings.simplefilter("always", LargeTileWarning)
                warnings.simplefilter("always", TargetWarning)
                warnings.simplefilter("always", ArithmeticWarning)
                # Said of inputs in radar geometry, and of every output before its ground control points are set.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                warnings.showwarning = keep
                yield
        finally:
            for text in texts:
                click.echo(f"Warning: {text}", err=True)


def jsonable(value: Any) -> Any:
    """`value` with numbers that JSON does not have (NaN, infinities) as null."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
