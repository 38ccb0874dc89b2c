"""Open datasets of one process, at most some number of them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from .reader import Dataset, open


class OpenFiles:
    """``files[n]`` is the n-th of `paths`, opened when it is first asked for; the least recently used are closed.

    Open files are never shared with other processes: a pickle holds paths and options, and after a fork the child opens
    its own. Not for several threads at once.

    Parameters
    ----------
    paths
        What `open` takes.
    options
        Keyword arguments of `open`.
    limit
        The most files that are open.
    """

    def __init__(self, paths: Sequence[Any], options: Mapping[str, Any], limit: int) -> None:
        self.paths, self.options, self.limit = paths, options, limit
        self._open: OrderedDict[int, Dataset] = OrderedDict()
        self._process = os.getpid()
        self._inherited: list[OrderedDict[int, Dataset]] = []

    def __getitem__(self, number: int) -> Dataset:
        self._forget_parent()
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        while len(self._open) >= self.limit:
            self._open.popitem(last=False)[1].close()
        self._open[number] = open(self.paths[number], **self.options)
        return self._open[number]

    def _forget_parent(self) -> None:
        """Leave alone what the process was forked with. It is kept, because to drop it would close it."""
        if os.getpid() != self._process:
            self._inherited.append(self._open)
            self._open, self._process = OrderedDict(), os.getpid()

    def close(self) -> None:
        """Close what this process has opened; it opens again when asked for."""
        self._forget_parent()
        while self._open:
            self._open.popitem()[1].close()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, (self.paths, self.options, self.limit)
