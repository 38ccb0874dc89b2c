"""The two rasters of a comparison, each a raster or a .sarz file, read as decibels and power."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..compression import opened_raster, raster_scale
from ..dtypes import complex_advice, is_complex
from ..errors import DamagedTileError, SarzFormatError, SarzIOError, SarzOptionError, UnsupportedRasterError
from ..grid import Box
from ..metadata import RasterMetadata
from ..preamble import MAGIC
from ..radiometry import PLAUSIBLE_DB, BandRadiometry
from ..reader import Dataset
from ..reader import open as open_sarz
from ..urls import is_url

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Named: TypeAlias = "str | os.PathLike[str] | DatasetReader | Dataset"
"""What `compare` takes as an input."""


@dataclass(frozen=True, slots=True)
class Input:
    """An open raster and how its values are decibels."""

    dataset: DatasetReader | Dataset
    indexes: tuple[int, ...]
    """Bands to compare, from 1."""
    metadata: RasterMetadata
    """Of these bands."""
    scale: str
    """"amplitude", "intensity" or "db"."""
    scale_reason: str
    masked: bool
    """Whether a mask band of the raster says which pixels are valid."""

    @property
    def name(self) -> str:
        """Path or URL."""
        return self.dataset.name

    @property
    def raster(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.metadata.height, self.metadata.width)

    @property
    def bound(self) -> dict[str, Any] | None:
        """The bound that a .sarz file promises: its `unit` and `value`."""
        bound = self.dataset.header.bound if isinstance(self.dataset, Dataset) else None
        return bound and bound.to_json()

    def read(self, box: Box) -> tuple[np.ndarray, np.ndarray | None]:
        """Values ``(bands, height, width)`` of a part, and where a mask band has them valid, if there is one.

        Raises
        ------
        SarzIOError, SarzFormatError
            If they cannot be read; names the file, and the tile if one is damaged.
        """
        window = Window(box.col0, box.row0, box.col1 - box.col0, box.row1 - box.row0)
        try:
            values = self.dataset.read(list(self.indexes), window=window)
            mask = self.dataset.read_masks(list(self.indexes), window=window) != 0 if self.masked else None
        except RasterioError as exc:
            reason = " ".join(str(exc.__cause__ or exc).split())
            raise SarzIOError(f"{self.name}: cannot be read: {reason}") from exc
        except DamagedTileError as exc:
            raise SarzFormatError(
                f"{self.name}: tile row {exc.tile_row}, column {exc.tile_col}, band group {exc.group} is damaged: "
                f"{exc.reason}; rio sarcodec verify names all damaged tiles"
            ) from exc
        return values, mask

    def decibels(self, band: int, values: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """``(dB, linear power)`` float64 of an array of a band (from 0): NaN and 0 where a pixel is not valid."""
        metadata, dtype = self.metadata, np.dtype(self.metadata.dtype)
        gain, bias = (metadata.scales[band], metadata.offsets[band]) if self.scale == "db" else (1.0, 0.0)
        db, valid = BandRadiometry(dtype, self.scale, 0, gain, bias).decibels(values)
        valid &= np.abs(db) <= PLAUSIBLE_DB
        nodata = metadata.nodata[band]
        if nodata is not None:
            valid &= values != nodata
        if mask is not None:
            valid &= mask
        db[~valid] = np.nan
        values = np.where(valid, db if self.scale == "db" else values, 0).astype(np.float64)
        with np.errstate(over="ignore"):
            power = {"amplitude": np.square, "intensity": np.positive, "db": _power}[self.scale](values)
        return db, np.where(valid, power, 0.0)


def _power(db: np.ndarray) -> np.ndarray:
    return 10 ** (db / 10)


@contextlib.contextmanager
def opened_input(
    source: Named, indexes: Sequence[int] | int | None, scale: str, device: str, batch_size: int | str
) -> Iterator[Input]:
    """Open a raster or a .sarz file, or pass an open dataset through, and find out what its pixels are.

    Raises
    ------
    SarzFileNotFoundError, SarzIOError, SarzFormatError
        If it cannot be read.
    SarzOptionError
        If it lacks one of the bands.
    UnsupportedRasterError
        If its bands are complex, or of several dtypes.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, Dataset):
            dataset: Any = source
        elif not hasattr(source, "read") and is_sarz(source):
            dataset = stack.enter_context(open_sarz(source, device=device, batch_size=batch_size))
        else:
            dataset = stack.enter_context(opened_raster(source))
        chosen = _checked_indexes(dataset, indexes)
        if isinstance(dataset, Dataset):
            metadata = dataset.header.metadata.select_bands([index - 1 for index in chosen])
            found, masked = (dataset.header.scale, "header"), False
        else:
            metadata = RasterMetadata.from_dataset(dataset, chosen)
            found = raster_scale(dataset, chosen) if scale == "auto" and not is_complex(metadata.dtype) else ("", "")
            masked = any(MaskFlags.per_dataset in dataset.mask_flag_enums[index - 1] for index in chosen)
        if is_complex(metadata.dtype):
            raise UnsupportedRasterError(f"{dataset.name} is {complex_advice('RASTER', metadata.dtype)}; whether a .sarz holds "
                                         "a complex raster to the bit, rio sarcodec verify FILE --against RASTER tells")
        yield Input(dataset, chosen, metadata, *(found if scale == "auto" else (scale, "asked for")), masked)


def is_sarz(path: str | os.PathLike[str]) -> bool:
    """Whether this is a .sarz file, by its name or its first bytes."""
    name = os.fspath(path)
    path = urlsplit(name).path if is_url(name) else name
    if path.lower().endswith(".sarz"):
        return True
    if not os.path.isfile(name):
        return False
    try:
        with open(name, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # rasterio says why it cannot be read


def with_one_scale(a: Input, b: Input) -> tuple[Input, Input]:
    """Both as the .sarz file says its pixels are, where just one is a .sarz file, and the dtypes are the same.

    What a file was told on compression counts more than what its original looks like.
    """
    coded = [isinstance(side.dataset, Dataset) for side in (a, b)]
    if coded[0] == coded[1] or a.metadata.dtype != b.metadata.dtype:
        return a, b
    told = a if coded[0] else b
    a, b = (replace(side, scale=told.scale, scale_reason=f"as {told.name} says") for side in (a, b))
    return a, b


def check_pair(a: Input, b: Input) -> list[str]:
    """Raise SarzOptionError unless both have the same pixels and bands; returns notes on what else differs."""
    if (a.metadata.height, a.metadata.width) != (b.metadata.height, b.metadata.width):
        raise SarzOptionError(
            f"{a.name} has {a.metadata.height} x {a.metadata.width} pixels, {b.name} has {b.metadata.height} x "
            f"{b.metadata.width}; expected two versions of one raster (rio warp or rio clip bring them together)"
        )
    if len(a.indexes) != len(b.indexes):
        raise SarzOptionError(
            f"{a.name} has {len(a.indexes)} bands, {b.name} has {len(b.indexes)}; choose bands that both have (--bidx)"
        )
    notes = []
    if a.scale != b.scale:
        notes.append(f"A is {a.scale} ({a.scale_reason}), B is {b.scale} ({b.scale_reason})")
    if a.metadata.transform != b.metadata.transform or a.metadata.crs != b.metadata.crs:
        notes.append("A and B lie in different places; they are compared pixel by pixel all the same")
    return notes


def _checked_indexes(dataset: Any, indexes: Sequence[int] | int | None) -> tuple[int, ...]:
    chosen = dataset.indexes if indexes is None else [indexes] if isinstance(indexes, int) else indexes
    bad = [index for index in chosen if index not in dataset.indexes]
    if bad or not chosen:
        what = f"band {bad[0]}" if bad else "no band"
        raise SarzOptionError(f"{what} was asked for: {dataset.name} has bands 1 to {dataset.count}")
    return tuple(chosen)
