"""One tile of one band group: its parts as bytes, and back.

::

    coarse part:  class plane of each band | rANS words (hyperlatents, then the coarse channels) | their escape bits
    detail part:  rANS words (all other latents) | escape bits | exact values of each band | corrections of each band
                  | copy

An EMPTY tile has no latents: its rANS segments are empty. The copy is there in FALLBACK tiles, of all pixels without loss,
and in BOUNDED tiles, of VALID pixels within a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from ..grid import HYPER
from ..mask import EXACT, ClassPlane, pack_exact, pack_plane, unpack_exact, unpack_plane
from .cells import CellWeights
from .coarse import coarse_rates, dequantise_coarse, dequantise_coarse_alone, quantise_coarse
from .corrections import Corrections, pack_corrections
from .entropy import Decoder, DecodingTables, encode
from .latents import dequantise, rates_of, table_numbers
from .model import HYPER_CHANNELS, SCALES, Z_LIMIT, IntegerModel
from .payload import join_segments, split_segments
from .trellis import LANES, quantise_trellis, symbol_bits


def hyper_shape(rows: int, cols: int) -> tuple[int, int, int]:
    """Shape of the hyperlatents of a tile of ``rows x cols`` latent positions."""
    return -(-rows // HYPER), -(-cols // HYPER), HYPER_CHANNELS


class LatentCoder:
    """Symbols and bytes of one model's latents; holds what depends on the model alone.

    ``totals`` float32 ``(rows, cols, 2 channels)`` are the sums of `Network.hyper_synthesis`, which cover the tile.
    """

    def __init__(self, model: IntegerModel, tables: DecodingTables) -> None:
        self.model, self.tables = model, tables
        self.coarse, self.detail = model.coarse_channels, model.detail_channels
        self.cell_weights = CellWeights.of(model)
        self._bits = symbol_bits(model.tables)

    def _hyper_tables(self, count: int) -> np.ndarray:
        return np.tile(np.arange(SCALES, SCALES + HYPER_CHANNELS, dtype=np.uint8), count // HYPER_CHANNELS)

    def _cropped(self, totals: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        return np.ascontiguousarray(totals[: shape[0], : shape[1]]).reshape(-1, 2 * self.model.channels)

    def encode(self, y: np.ndarray, z: np.ndarray, totals: np.ndarray,
               quality: int) -> tuple[list[bytes], list[bytes], np.ndarray]:
        """Latents int16 ``(rows, cols, channels)`` to the rANS segments of both parts, and the decoder's latents."""
        totals = self._cropped(totals, y.shape[:2])
        rates = rates_of(self.model, quality, True), rates_of(self.model, quality, False)
        y_hat = np.empty((len(totals), self.model.channels), np.int16)
        flat = np.ascontiguousarray(y).reshape(y_hat.shape)
        t_coarse = table_numbers(totals, rates[0], self.coarse)
        k_coarse, moved = quantise_coarse(flat, totals, t_coarse, *rates, self.model, y.shape[1], self._bits, y_hat)
        symbols = np.concatenate([z.reshape(-1).astype(np.int32), k_coarse.reshape(-1)])
        numbers = np.concatenate([self._hyper_tables(z.size), moved.reshape(-1)])
        coarse = encode(symbols, numbers, self.model.tables)
        t_detail = table_numbers(totals, rates[0], self.detail)
        k_detail, multiples, moved = quantise_trellis(flat, totals, t_detail, rates[0], self.model, self._bits)
        dequantise(multiples, t_detail, totals, rates[1], self.model, y_hat)
        detail = encode(k_detail.reshape(-1), moved.reshape(-1), self.model.tables)
        return list(coarse), list(detail), y_hat.reshape(y.shape)

    def start(self, words: bytes, escapes: bytes, shape: tuple[int, int]) -> tuple[Decoder, np.ndarray]:
        """Decode the hyperlatents int8 of a tile; the decoder is left before the coarse channels."""
        decoder = Decoder(words, escapes, self.tables)
        z_shape = hyper_shape(*shape)
        z = decoder.take(self._hyper_tables(int(np.prod(z_shape))))
        if np.abs(z).max(initial=0) > Z_LIMIT:
            raise SarzFormatError("a hyperlatent is out of range")
        return decoder, z.astype(np.int8).reshape(z_shape)

    def decode(self, decoder: Decoder, detail: tuple[bytes, bytes], totals: np.ndarray, shape: tuple[int, int],
               quality: int) -> np.ndarray:
        """Latents int16 ``(rows, cols, channels)`` of a tile whose hyperlatents were decoded by `start`."""
        totals = self._cropped(totals, shape)
        rates = rates_of(self.model, quality, False)
        y_hat = np.empty((len(totals), self.model.channels), np.int16)
        numbers = table_numbers(totals, rates, self.coarse)
        multiples = decoder.take_multiples(numbers, self.model.trellis_from, len(self.coarse))
        decoder.finish()
        dequantise_coarse(multiples, numbers, totals, rates, self.model, shape[1], y_hat)
        rest = Decoder(*detail, self.tables)
        numbers = table_numbers(totals, rates, self.detail)
        multiples = rest.take_multiples(numbers, self.model.trellis_from, LANES)
        rest.finish()
        dequantise(multiples, numbers, totals, rates, self.model, y_hat)
        return y_hat.reshape(*shape, self.model.channels)

    def decode_coarse(self, decoder: Decoder, totals: np.ndarray, shape: tuple[int, int], quality: int) -> np.ndarray:
        """The coarse latents alone, int16 ``(rows, cols, coarse channels)``.

        ``totals`` float32 ``(rows, cols, 2 coarse channels)`` are the sums of `Network.coarse_sums`, which cover the tile.
        """
        flat = np.ascontiguousarray(totals[: shape[0], : shape[1]]).reshape(-1, totals.shape[2])
        rates = coarse_rates(self.model, quality)
        numbers = table_numbers(flat, rates, np.arange(len(self.coarse)))
        multiples = decoder.take_multiples(numbers, self.model.trellis_from, len(self.coarse))
        decoder.finish()
        return dequantise_coarse_alone(multiples, numbers, flat, rates, self.model, shape[1]).reshape(*shape, -1)


@dataclass(frozen=True, slots=True)
class TileParts:
    """A tile's parts, taken apart. ``planes`` has one class plane a band; ``exact``, ``corrections`` and ``copy`` are still
    packed."""

    planes: tuple[ClassPlane, ...]
    coarse: tuple[bytes, bytes]
    detail: tuple[bytes, bytes]
    exact: tuple[bytes, ...]
    corrections: tuple[bytes, ...]
    copy: bytes

    @classmethod
    def unpack(cls, coarse: bytes, detail: bytes, bands: int, shape: tuple[int, int]) -> TileParts:
        """Split both parts of a tile of `shape` pixels; raises SarzFormatError if they are malformed."""
        head = split_segments(coarse, bands + 2)
        tail = split_segments(detail, 2 * bands + 3)
        planes = tuple(unpack_plane(segment, shape) for segment in head[:bands])
        return cls(planes, tuple(head[bands:]), tuple(tail[:2]), tuple(tail[2 : 2 + bands]),
                   tuple(tail[2 + bands : -1]), tail[-1])

    def exact_values(self, band: int, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """Values of class EXACT of one band, in raster order."""
        return unpack_exact(self.exact[band], self.planes[band].count(EXACT, shape), dtype)


def pack_coarse(planes: list[ClassPlane], segments: list[bytes]) -> bytes:
    """The coarse part."""
    return join_segments([*(pack_plane(p) for p in planes), *segments])


def pack_detail(segments: list[bytes], values: np.ndarray, classes: np.ndarray, copy: bytes,
                corrections: list[Corrections] | None = None) -> bytes:
    """The detail part, of values and classes ``(bands, height, width)``; `corrections` are one a band, if there are any."""
    exact = (pack_exact(v, c) for v, c in zip(values, classes))
    corrected = map(pack_corrections, corrections) if corrections else [b""] * len(values)
    return join_segments([*segments, *exact, *corrected, copy])
