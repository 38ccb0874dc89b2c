"""Windows of several files, read in one batch a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Literal

from .reader import Dataset, open

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from .reader_request import WindowLike
    from .source import Source


def read_windows(
    windows: Iterable[tuple[Dataset | str | os.PathLike[str] | bytes | IO[bytes] | Source, WindowLike | None]],
    indexes: int | Sequence[int] | None = None,
    *,
    out: Literal["numpy", "torch"] = "numpy",
    **options: Any,
) -> list[np.ndarray] | list[Tensor]:
    """Read windows of several files; those of one file in one batch, so that tiles they share are decoded once.

    Parameters
    ----------
    windows : iterable of (file, window)
        Files are open datasets, which stay open, or what `open` takes; each path is opened once. Windows are of whole
        pixels and cropped to their raster; None is the whole raster.
    indexes : int or sequence of int, optional
        Bands, from 1, of all files. All by default.
    out : {"numpy", "torch"}
        Arrays, or tensors on the device that decodes.
    **options
        Keyword arguments of `open`, for files that are not open yet.

    Returns
    -------
    list of array or tensor
        In the order of `windows`: ``(bands, height, width)`` of the raster's dtype, ``(height, width)`` for one index.

    Raises
    ------
    SarzError
        As `open` and `Dataset.read_windows` do.
    """
    windows = list(windows)
    by_file: dict[Any, list[int]] = {}
    for number, (file, _) in enumerate(windows):
        by_file.setdefault(_identity(file), []).append(number)
    results: list[Any] = [None] * len(windows)
    for numbers in by_file.values():
        file = windows[numbers[0]][0]
        with ExitStack() as stack:
            dataset = file if isinstance(file, Dataset) else stack.enter_context(open(file, **options))
            parts = dataset.read_windows([windows[n][1] for n in numbers], indexes, out=out)
            for number, values in zip(numbers, parts):
                results[number] = values
    return results


def _identity(file: Any) -> Any:
    """Equal for what is one file."""
    return os.fspath(file) if isinstance(file, (str, os.PathLike)) else id(file)
