"""The raster that a .sarz file was made from, to compare the file with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

from .container import Container
from .errors import SarzOptionError
from .grid import Box
from .metadata import RasterMetadata

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class Original:
    """An open raster of the size, bands and dtype that a file has.

    Parameters
    ----------
    dataset
        Stays open.
    indexes
        Its bands that the file holds, from 1; all by default.
    container
        The file.

    Raises
    ------
    SarzOptionError
        If size, bands or dtype are others: this is another raster.
    UnsupportedRasterError
        If its bands have different dtypes.
    """

    def __init__(self, dataset: DatasetReader, indexes: Sequence[int] | int | None, container: Container) -> None:
        self.dataset, self.name = dataset, dataset.name
        wanted = dataset.indexes if indexes is None else indexes
        self.indexes = [wanted] if isinstance(wanted, int) else list(wanted)
        stored = container.header.metadata
        if any(index not in dataset.indexes for index in self.indexes):
            raise SarzOptionError(f"bands {self.indexes}: {self.name} has bands 1 to {dataset.count}")
        if len(self.indexes) != stored.count:
            raise SarzOptionError(f"{self.name}: {len(self.indexes)} bands, but {container.source.name} has "
                                  f"{stored.count}; choose those that it was made from (indexes, --bidx)")
        if dataset.shape != (stored.height, stored.width):
            raise SarzOptionError(f"{self.name}: {dataset.height} x {dataset.width} pixels, but "
                                  f"{container.source.name} has {stored.height} x {stored.width}; give the raster that it was made from")
        self.metadata = RasterMetadata.from_dataset(dataset, self.indexes)
        if self.metadata.dtype != stored.dtype:
            raise SarzOptionError(f"{self.name}: {self.metadata.dtype}, but {container.source.name} has {stored.dtype}"
                                  "; give the raster that it was made from")

    def read(self, box: Box) -> np.ndarray:
        """Values ``(bands, height, width)`` of a part; raises rasterio's errors."""
        height, width = box.shape
        return self.dataset.read(self.indexes, window=Window(box.col0, box.row0, width, height))
