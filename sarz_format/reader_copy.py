"""A decoded part of a raster as a GeoTIFF of the raster's full size, so that GDAL itself resamples, fills and masks it.

GDAL's answer for a window depends on pixels around it, on nodata, and on arithmetic that begins at the raster's corner.
A sparse GeoTIFF that holds only the decoded pixels, in their own places, gives the same answer as the whole raster
would, and costs memory or disk only for these.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.windows import Window

from .dtypes import array_dtype, value_bytes
from .errors import SarzIOError
from .grid import Box
from .metadata import RasterMetadata

MEMORY_LIMIT = 256 << 20
"""Bytes of decoded pixels above which the copy goes to a file in the temporary directory."""

STRIP_BYTES = 64 << 20
"""Bytes decoded at a time while the copy is made."""

_OVERVIEW = ".ovr"
_BLOCK = 128  # pixels a side: small enough that a few pixels cost little
_MAX_BLOCKS = 1 << 20  # the list of blocks is written whole: larger rasters get larger blocks

Decoded = tuple[np.ndarray, np.ndarray | None]


class DecodeBox(Protocol):
    """Decodes 0-based `bands` of `box`: ``(bands, height, width)``, and a bool mask of damaged pixels or None.

    Damaged pixels hold nodata, or 0 where there is none.
    """

    def __call__(self, bands: Sequence[int], box: Box) -> Decoded: ...


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What goes into the copy.

    Attributes
    ----------
    metadata : RasterMetadata
        Of the whole raster.
    nodata : float, int or None
        The one value that the copy's bands share.
    bands : tuple of int
        0-based bands to decode, each once.
    box : Box
        Pixels that may be needed.
    rows : int64 array or None
        The rows of `box` that are needed; None for all.
    tile_size : int
        Strips begin on tile borders, so that no tile is decoded twice.
    """

    metadata: RasterMetadata
    nodata: float | int | None
    bands: tuple[int, ...]
    box: Box
    rows: np.ndarray | None
    tile_size: int

    @property
    def by_rows(self) -> bool:
        """Whether the copy is laid out in single rows: these are stored whole, which pays where few are needed."""
        if self.rows is None or self.box.empty or self.metadata.height > _MAX_BLOCKS:
            return False
        height, width = self.box.shape
        return len(self.rows) * self.metadata.width < height * width

    @property
    def row_bytes(self) -> int:
        """Bytes of one decoded row of all bands."""
        return len(self.bands) * self.box.shape[1] * array_dtype(self.metadata.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """About the size of the copy."""
        if self.box.empty:
            return 0
        pixel = len(self.bands) * value_bytes(self.metadata.dtype)
        if self.by_rows:
            return len(self.rows) * self.metadata.width * pixel
        height, width = self.box.shape
        return (height + 2 * self.block) * (width + 2 * self.block) * pixel

    @property
    def block(self) -> int:
        """Pixels a side of the copy's blocks."""
        block = _BLOCK
        while -(-self.metadata.height // block) * -(-self.metadata.width // block) * self.metadata.count > _MAX_BLOCKS:
            block *= 2
        return block

    def profile(self) -> dict[str, Any]:
        """Keyword arguments that create the copy."""
        layout = {"tiled": False, "blockysize": 1} if self.by_rows else {
            "tiled": True, "blockxsize": self.block, "blockysize": self.block}
        return {
            "driver": "GTiff", "width": self.metadata.width, "height": self.metadata.height,
            "count": self.metadata.count, "dtype": self.metadata.dtype, "nodata": self.nodata,
            "interleave": "band", "photometric": "MINISBLACK", "SPARSE_OK": True, "BIGTIFF": "YES",
            **layout, **_placement(self.metadata),
        }  # fmt: skip

    def strips(self) -> Iterator[Box]:
        """The box in strips of whole tile rows, without rows at the ends of a strip that are not needed."""
        if self.box.empty:
            return
        height = max(1, STRIP_BYTES // (self.row_bytes * self.tile_size)) * self.tile_size
        for start in range(self.box.row0 // height * height, self.box.row1, height):
            row0, row1 = max(start, self.box.row0), min(start + height, self.box.row1)
            if self.rows is not None:
                needed = self.rows[np.searchsorted(self.rows, row0) : np.searchsorted(self.rows, row1)]
                if not len(needed):
                    continue
                row0, row1 = int(needed[0]), int(needed[-1]) + 1
            yield Box(row0, self.box.col0, row1, self.box.col1)


@contextmanager
def decoded_copy(plan: CopyPlan, decode: DecodeBox,
                 overview: tuple[CopyPlan, DecodeBox] | None = None) -> Iterator[DatasetReader]:
    """Decode what `plan` names and yield it as an open rasterio dataset, which is gone afterwards.

    With `overview`, it has that one, decoded by the second plan, beside it in a file of its own, as GDAL itself keeps
    overviews outside of a GeoTIFF.

    Damaged pixels are marked by a mask band where there is no nodata value to mark them; not in an overview.

    Raises
    ------
    SarzIOError
        If the copy does not fit into the temporary directory, or cannot be written there.
    """
    with ExitStack() as stack:
        # Overviews are looked for among the files of the folder.
        stack.enter_context(rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False,
                                         GDAL_DISABLE_READDIR_ON_OPEN="FALSE"))
        path = _temporary_path(plan.nbytes + (overview[0].nbytes if overview else 0), stack)
        try:
            with rasterio.open(path, "w", **plan.profile()) as dst:
                _set_masking(plan.metadata, dst)
                _fill(plan, decode, dst)
            if overview is not None:
                stack.callback(_delete_overview, path)
                with rasterio.open(f"{path}{_OVERVIEW}", "w", **overview[0].profile()) as dst:
                    _fill(*overview, dst)
        except RasterioError as exc:
            raise SarzIOError(f"writing decoded pixels to {path} failed: {exc}") from exc
        yield stack.enter_context(rasterio.open(path))


def _delete_overview(path: str) -> None:
    """Remove it from GDAL's memory; on disk the folder goes as a whole."""
    if path.startswith("/vsimem/") and rasterio.shutil.exists(f"{path}{_OVERVIEW}"):
        rasterio.shutil.delete(f"{path}{_OVERVIEW}", driver="GTiff")


def _temporary_path(nbytes: int, stack: ExitStack) -> str:
    """A name in memory, or on disk if `nbytes` are too many; removed with `stack`."""
    if nbytes <= MEMORY_LIMIT:
        return stack.enter_context(MemoryFile(ext=".tif")).name
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sarz-"))
    free = shutil.disk_usage(folder).free
    if free < nbytes:
        raise SarzIOError(
            f"this read needs {nbytes >> 20} MiB in {folder}, which has {free >> 20} MiB free; "
            "set TMPDIR to a larger file system, or read a smaller window"
        )
    return str(Path(folder, "decoded.tif"))


def _placement(metadata: RasterMetadata) -> dict[str, Any]:
    """The transform, from which rasterio computes where a boundless window lies.

    It forgets rotation when it does, and then gives shifted pixels; pixel coordinates do better. The identity needs a
    GCP, lest rasterio warns that the copy is not georeferenced.
    """
    if metadata.transform and metadata.transform[1] == metadata.transform[3] == 0:
        return {"transform": metadata.affine}
    return {"gcps": [GroundControlPoint(0, 0, 0, 0, 0)], "crs": "EPSG:4326"}


def _set_masking(metadata: RasterMetadata, dst: DatasetWriter) -> None:
    """Set what GDAL derives masks from besides nodata: an alpha band and NODATA_VALUES."""
    if mask_spans_bands(metadata):
        dst.colorinterp = metadata.rasterio_colorinterp
    values = metadata.tags.get("", {}).get("NODATA_VALUES")
    if values is not None:
        dst.update_tags(NODATA_VALUES=values)


def mask_spans_bands(metadata: RasterMetadata) -> bool:
    """Whether the mask of one band depends on other bands."""
    colours = metadata.rasterio_colorinterp
    return bool({ColorInterp.alpha, ColorInterp.red} & set(colours)) or "NODATA_VALUES" in metadata.tags.get("", {})


def _fill(plan: CopyPlan, decode: DecodeBox, dst: DatasetWriter) -> None:
    indexes = [band + 1 for band in plan.bands]
    strips: list[tuple[Box, np.ndarray | None]] = []
    for strip in plan.strips():
        values, damaged = decode(plan.bands, strip)
        for part in _runs(plan, strip):
            rows, _ = part.slices(strip)
            dst.write(values[:, rows], indexes=indexes, window=_window(part))
        strips.append((strip, damaged))
    if plan.nodata is None and any(damaged is not None and damaged.any() for _, damaged in strips):
        for strip, damaged in strips:
            valid = np.ones(strip.shape, bool) if damaged is None else ~damaged
            dst.write_mask(valid, window=_window(strip))


def _runs(plan: CopyPlan, strip: Box) -> Iterator[Box]:
    """The parts of a strip to store: all of it, or each run of rows that are needed."""
    if not plan.by_rows or plan.rows is None:
        yield strip
        return
    needed = plan.rows[(plan.rows >= strip.row0) & (plan.rows < strip.row1)]
    for run in np.split(needed, np.flatnonzero(np.diff(needed) > 1) + 1):
        yield Box(int(run[0]), strip.col0, int(run[-1]) + 1, strip.col1)


def _window(box: Box) -> Window:
    height, width = box.shape
    return Window(box.col0, box.row0, width, height)
