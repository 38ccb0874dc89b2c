"""What a command does when something goes wrong: one line on standard error and an exit status, no traceback.

Exit statuses: 0 everything done; 1 at least one input failed; 2 the command line itself is wrong; 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, RasterioError

from sarz_format.errors import SarzError
from sarz_format.urls import as_url, public_name

FAILURES: tuple[type[Exception], ...] = (SarzError, RasterioError, CRSError, CPLE_BaseError, OSError, MemoryError)
"""What an input, an output or the machine can cause. Anything else is a mistake of ours and keeps its traceback."""

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

P = ParamSpec("P")
R = TypeVar("R")


class MisuseError(click.ClickException):
    """The command line asks for something that cannot be; found before any work starts."""

    exit_code = MISUSED


def failure_text(error: BaseException | str, name: str | None = None) -> str:
    """`error` on one line, with the file's `name` in front, without secrets, where the message does not mention it."""
    text = " ".join(str(error).split()) or type(error).__name__
    name = None if name is None else public_name(as_url(name))
    return printable(text if name is None or name in text else f"{name}: {text}")


def printable(text: str) -> str:
    """`text` with what no output can encode, bytes of file names that are not UTF-8, as ``\\udce9`` and the like."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line_failures(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that a failure, or Ctrl-C, ends it with one line and the right exit status."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("Error: interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever read our output has gone; click ends quietly
        except FAILURES as error:
            raise click.ClickException(failure_text(error)) from error

    return guarded
