"""A quicklook of a .sarz file: an overview, stretched in decibels, as a PNG."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .averaging import BandMean
from .errors import SarzOptionError
from .output import atomic_output, io_errors, refuse_overwriting
from .overview import overview_box
from .reader_request import resolve_bands
from .roles import lossless_bands

if TYPE_CHECKING:
    from .reader import Dataset
    from .source import Source

DEFAULT_SIZE = 1024
"""Pixels of a picture's longer side, at most."""

PERCENTILES = 2.0, 98.0
"""What of a channel's valid pixels becomes black, and white."""

OPAQUE = 255


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """What a preview shows: size in pixels, the `factor` of the overview (1: the raster itself), the `channels` with what each
    is and what is black and white in it (`low`, `high`; None where no pixel is valid), bytes read, and seconds."""

    input: str
    output: str
    width: int
    height: int
    factor: int
    channels: list[dict[str, Any]]
    bytes_read: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A dictionary for json.dumps."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a picture: its name, values float64 ``(height, width)``, dB or the band's own unit, NaN where there is
    none (zeros of a linear scale are -inf)."""

    name: str
    unit: str
    values: np.ndarray


def preview(
    src: str | os.PathLike[str] | bytes | IO[bytes] | Source,
    dst: str | os.PathLike[str],
    *,
    size: int = DEFAULT_SIZE,
    indexes: Sequence[int] | int | None = None,
    rgb: bool = False,
    percentiles: tuple[float, float] = PERCENTILES,
    device: str = "auto",
    batch_size: int | str = "auto",
    overwrite: bool = False,
) -> PreviewReport:
    """Write a quicklook of a .sarz file as a PNG of 8 bits, transparent where no pixel is valid.

    It shows the first overview whose longer side has no more than `size` pixels (the raster itself, if that has no more), so
    that of a large scene only the coarse parts of tiles are read. Each channel is stretched linearly in decibels, from black
    to white between two percentiles of its valid pixels; bands that are not backscatter (angles) in their own unit.

    Parameters
    ----------
    src
        As for `sarz.open`.
    dst
        The PNG.
    size : int
        Pixels of the longer side, at most.
    indexes : int or sequence of int, optional
        One band for a grey picture, or three for red, green and blue; from 1. The first band by default.
    rgb : bool
        Instead: a pair of polarisations as red (VV, or HH), green (VH, or HV) and blue (their ratio, the difference of
        decibels).
    percentiles : (float, float)
        Of what becomes black, and white, from 0 to 100.
    device, batch_size
        As for `sarz.open`. They change no pixel.
    overwrite : bool
        Whether `dst` may exist.

    Raises
    ------
    SarzOptionError
        If an argument is out of its range, or `rgb` is asked of a file without a pair.
    BandIndexError, OutputExistsError, SarzFileNotFoundError, SarzFormatError, SarzIOError
    """
    from .reader import open as open_dataset

    started = time.perf_counter()
    name = os.fspath(dst)
    if not os.fsdecode(name).lower().endswith(".png"):
        raise SarzOptionError(f"output {name}: expected a name that ends in .png")
    if isinstance(src, (str, os.PathLike)):
        refuse_overwriting([src], dst)
    low, high = _checked_percentiles(percentiles)
    _check_size(size)
    with open_dataset(src, device=device, batch_size=batch_size) as dataset, atomic_output(dst, overwrite) as path:
        bands = _chosen_bands(dataset, indexes, rgb)
        factor = _factor(dataset.shape, size)
        values = dataset.read(bands) if factor == 1 else dataset.read_overview(factor, indexes=bands)
        channels = _channels(dataset, bands, values, rgb)
        limits = [_limits(channel.values, low, high) for channel in channels]
        with io_errors(f"cannot write {dst}"):
            _write_png(path, [_stretched(c.values, *pair) for c, pair in zip(channels, limits)], _alpha(channels))
        described = [{"name": c.name, "unit": c.unit, "low": pair[0], "high": pair[1]} for c, pair in zip(channels, limits)]
        return PreviewReport(dataset.name, os.fsdecode(name), values.shape[2], values.shape[1], factor, described,
                             dataset.stats.bytes_read, time.perf_counter() - started)


def _checked_percentiles(percentiles: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(p) for p in percentiles)
    except (TypeError, ValueError) as exc:
        raise SarzOptionError(f"percentiles {percentiles!r}: expected two numbers from 0 to 100") from exc
    if not 0 <= low < high <= 100:
        raise SarzOptionError(f"percentiles {low:g} and {high:g}: expected two from 0 to 100, the lower one first")
    return low, high


def _check_size(size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise SarzOptionError(f"size {size!r}: expected a whole number of pixels, 1 or more")


def _chosen_bands(dataset: Dataset, indexes: Sequence[int] | int | None, rgb: bool) -> list[int]:
    """1-based bands to read."""
    if rgb:
        if indexes is not None:
            raise SarzOptionError("rgb and indexes exclude each other; give one")
        pair = next((group.bands for group in dataset.header.groups if len(group.bands) == 2), None)
        if pair is None:
            raise SarzOptionError(f"rgb takes a pair of polarisations, and {dataset.name} has none; choose bands instead")
        return [band + 1 for band in pair]
    bands = list(resolve_bands(1 if indexes is None else indexes, dataset.count)[0])
    if len(bands) not in (1, 3):
        raise SarzOptionError(f"{len(bands)} bands: expected one for a grey picture, or three for red, green and blue")
    return bands


def _factor(shape: tuple[int, int], size: int) -> int:
    factor = 1
    while max(overview_box(*shape, factor).shape) > size:
        factor *= 2
    return factor


def _channels(dataset: Dataset, bands: list[int], values: np.ndarray, rgb: bool) -> list[Channel]:
    channels = [_channel(dataset, band - 1, band_values) for band, band_values in zip(bands, values)]
    if rgb:
        first, second = channels
        with np.errstate(invalid="ignore"):
            ratio = first.values - second.values
        channels.append(Channel(f"{first.name} / {second.name}", "dB", ratio))
    return channels


def _channel(dataset: Dataset, band: int, values: np.ndarray) -> Channel:
    """A band in decibels, or as it is."""
    from .bands import band_radiometry

    header = dataset.header
    metadata = header.metadata
    backscatter = band not in lossless_bands(metadata.descriptions, metadata.colorinterp)
    mean = BandMean(band_radiometry(header, band), backscatter)
    valid = mean.counted(values)[0] > 0
    name = metadata.descriptions[band] or f"band {band + 1}"
    if not backscatter:
        return Channel(name, metadata.units[band] or "", np.where(valid, values.astype(np.float64), math.nan))
    db, exists = mean.radiometry.decibels(values)
    return Channel(name, "dB", np.where(valid, np.where(exists, db, -math.inf), math.nan))


def _limits(values: np.ndarray, low: float, high: float) -> tuple[float | None, float | None]:
    """What is black and white in a channel."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None, None
    return tuple(float(v) for v in np.percentile(finite, [low, high]))


def _stretched(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """uint8; grey where all is equal, black where there is no value."""
    if low is None or high is None:
        return np.zeros(values.shape, np.uint8)
    with np.errstate(invalid="ignore"):
        share = (values - low) / (high - low) if high > low else np.where(values < low, 0.0, 0.5)
    return np.rint(255 * np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)).astype(np.uint8)


def _alpha(channels: list[Channel]) -> np.ndarray:
    """Opaque where any channel has a value."""
    some = np.logical_or.reduce([~np.isnan(channel.values) for channel in channels])
    return np.where(some, OPAQUE, 0).astype(np.uint8)


def _write_png(path: Path, channels: list[np.ndarray], alpha: np.ndarray) -> None:
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    planes = np.stack([*channels, alpha])
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED=False):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="PNG", width=planes.shape[2], height=planes.shape[1], count=len(planes),
                           dtype="uint8") as dst:
            dst.write(planes)
