"""From a raster to the tiles of a file with a bound: tiles with pixels within it, and lossless ones where these are smaller.

No model is needed: a causal coder is smaller than what a model's residuals take (docs/design.md).
"""

from __future__ import annotations

import numpy as np

from .bands import allowance, band_radiometry
from .bounded import BoundedTile, encode_bounded
from .codec.tile import pack_coarse, pack_detail
from .fallback import encode_lossless
from .header import Header
from .index import BOUNDED, EMPTY
from .lossless import NO_SEGMENTS, LosslessEncoder, PackedTile
from .mask import EXACT, VALID, class_plane, classify, like_nodata
from .measure import decibels_exist
from .roles import lossless_bands
from .statistics import BandStatistics

PROBE = 128
"""Pixels a side of the middle of a tile, which tells whether the whole is worth coding losslessly too."""

PROBE_SHARE = 1.25
"""It is if the middle takes less than this times as many bytes losslessly as within the bound."""

RAW_SHARE = 0.5
"""So it is if the bounded tile takes more than this share of the bytes of its values."""


class BoundedEncoder(LosslessEncoder):
    """Codes a raster whose header has a bound. To reports it is what `encoder.Encoder` is.

    ``worst`` has the largest error of each band, in the unit of the bound.
    """

    stage = "code within the bound"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        metadata = header.metadata
        self.worst = [0.0] * metadata.count
        self._exact_bands = lossless_bands(metadata.descriptions, metadata.colorinterp)
        self._radiometry = [band_radiometry(header, band) for band in range(metadata.count)]
        self._allowances = {group.bands: allowance(header, group.bands) for group in header.groups}
        self._of_band = [allowance(header, [band]) for band in range(metadata.count)]

    def _coded(self, values: np.ndarray, group: int) -> PackedTile:
        bands = self.header.groups[group].bands
        candidates = [self._bounded(values, bands)]
        if self._lossless_is_worth_trying(values, bands, candidates[0]):
            candidates.append(super()._coded(values, group))
        return min((c for c in candidates if c is not None), key=lambda c: (c.nbytes, c.flags & BOUNDED))

    def _written(self, tile: PackedTile, group: int) -> None:
        super()._written(tile, group)
        for band, worst in zip(self.header.groups[group].bands, tile.worst):
            self.worst[band] = max(self.worst[band], worst)

    def _bounded(self, values: np.ndarray, bands: tuple[int, ...]) -> PackedTile | None:
        """A tile within the bound, or without a VALID pixel; None if only a lossless copy serves."""
        classes = np.stack([self._classes_within(v, band) for v, band in zip(values, bands)])
        coded, copy = None, b""
        if (classes == VALID).any():
            coded = self._encoded(values, classes, bands)
            if coded is None:
                return None
            classes[(classes == VALID) & ~coded.valid] = EXACT
            copy = coded.data
        parts = (pack_coarse([class_plane(c) for c in classes], NO_SEGMENTS),
                 pack_detail(NO_SEGMENTS, values, classes, copy))
        if coded is None:
            return PackedTile(*parts, EMPTY)
        statistics, worst = zip(*(self._measured(band, *planes)
                                  for band, *planes in zip(bands, values, coded.values, coded.valid)))
        return PackedTile(*parts, EMPTY | BOUNDED, statistics, worst)

    def _encoded(self, values: np.ndarray, classes: np.ndarray, bands: tuple[int, ...]) -> BoundedTile | None:
        nodata = [self.header.metadata.nodata[band] for band in bands]
        return encode_bounded(values, classes == VALID, self._allowances[bands], nodata)

    def _classes_within(self, values: np.ndarray, band: int) -> np.ndarray:
        """Classes before the tile is coded; none is VALID in a band that is not backscatter."""
        codable, nodata = np.zeros(values.shape, bool), self.header.metadata.nodata[band]
        if band not in self._exact_bands:
            codable = self._of_band[band].codable(values) & ~like_nodata(values, nodata)
        return classify(values, codable, nodata)

    def _measured(self, band: int, original: np.ndarray, decoded: np.ndarray,
                  valid: np.ndarray) -> tuple[BandStatistics, float]:
        """Errors in decibels of the valid pixels that have them, and the worst of all in the unit of the bound."""
        radiometry = self._radiometry[band]
        worst = self._of_band[band].worst(original[valid], decoded[valid])
        chosen = valid & decibels_exist(radiometry.scale, original, decoded)
        return BandStatistics.from_errors(radiometry.value_errors_mdb(original[chosen], decoded[chosen])), worst

    def _lossless_is_worth_trying(self, values: np.ndarray, bands: tuple[int, ...], bounded: PackedTile | None) -> bool:
        if bounded is None:
            return True
        if not bounded.flags & BOUNDED:
            return len(bounded.detail) > 2 * len(bands) + 3  # Its segments are not all empty: there are exact values.
        height, width = values.shape[1:]
        if max(height, width) <= PROBE or bounded.nbytes > RAW_SHARE * values.nbytes:
            return True
        top, left = max(0, height - PROBE) // 2, max(0, width - PROBE) // 2
        middle = np.ascontiguousarray(values[:, top : top + PROBE, left : left + PROBE])
        probe = self._bounded(middle, bands)
        return probe is None or len(encode_lossless(middle)) < PROBE_SHARE * probe.nbytes
