"""One tile of one band group: its parts as bytes, and back.

::

    coarse part:  class plane of each band | rANS words (hyperlatents, then DC latents) | their escape bits
    detail part:  rANS words (all other latents) | escape bits | exact values of each band | lossless copy

An EMPTY tile has no latents: its rANS segments are empty. The lossless copy is there in FALLBACK tiles only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from ..fallback import decode_lossless
from ..mask import EXACT, ClassPlane, pack_exact, pack_plane, unpack_exact, unpack_plane
from .entropy import COARSE_LANES, DETAIL_LANES, Decoder, DecodingTables, encode
from .latents import dequantise, quantise, table_numbers
from .model import HYPER_CHANNELS, SCALES, IntegerModel
from .payload import join_segments, split_segments


def hyper_shape(rows: int, cols: int) -> tuple[int, int, int]:
    """Shape of the hyperlatents of a tile of ``rows x cols`` latent positions."""
    return -(-rows // 4), -(-cols // 4), HYPER_CHANNELS


class LatentCoder:
    """Symbols and bytes of one model's latents; holds what depends on the model alone."""

    def __init__(self, model: IntegerModel, tables: DecodingTables) -> None:
        self.model, self.tables = model, tables
        self.coarse = np.zeros(model.channels, bool)
        self.coarse[model.coarse_channels] = True

    def _hyper_tables(self, count: int) -> np.ndarray:
        return np.tile(np.arange(SCALES, SCALES + HYPER_CHANNELS, dtype=np.uint8), count // HYPER_CHANNELS)

    def _cropped(self, params: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        return np.ascontiguousarray(params[: shape[0], : shape[1]]).reshape(-1, self.model.channels)

    def encode(self, y: np.ndarray, z: np.ndarray, params: tuple[np.ndarray, np.ndarray],
               quality: int) -> tuple[list[bytes], list[bytes], np.ndarray]:
        """Latents int16 ``(rows, cols, channels)`` to the rANS segments of both parts, and the decoder's latents."""
        shape, model = y.shape[:2], self.model
        mean, scale = (self._cropped(p, shape) for p in params)
        t_coarse, t_detail = table_numbers(scale, model.index_offset[quality], self.coarse)
        k_coarse, k_detail = quantise(y.reshape(-1, model.channels), mean, model.delta_encode[quality], self.coarse)
        symbols = np.concatenate([z.reshape(-1).astype(np.int32), k_coarse.reshape(-1)])
        numbers = np.concatenate([self._hyper_tables(z.size), t_coarse.reshape(-1)])
        coarse = encode(symbols, numbers, model.tables, COARSE_LANES)
        detail = encode(k_detail.reshape(-1), t_detail.reshape(-1), model.tables, DETAIL_LANES)
        y_hat = dequantise(mean, k_coarse, k_detail, model.delta_decode[quality], self.coarse)
        return list(coarse), list(detail), y_hat.reshape(y.shape)

    def start(self, words: bytes, escapes: bytes, shape: tuple[int, int]) -> tuple[Decoder, np.ndarray]:
        """Decode the hyperlatents int8 of a tile; the decoder is left before the DC latents."""
        decoder = Decoder(words, escapes, self.tables, COARSE_LANES)
        z_shape = hyper_shape(*shape)
        z = decoder.take(self._hyper_tables(int(np.prod(z_shape))))
        if np.abs(z).max(initial=0) > 127:
            raise SarzFormatError("a hyperlatent is out of range")
        return decoder, z.astype(np.int8).reshape(z_shape)

    def decode(self, decoder: Decoder, detail: tuple[bytes, bytes], params: tuple[np.ndarray, np.ndarray],
               shape: tuple[int, int], quality: int) -> np.ndarray:
        """Latents int16 ``(rows, cols, channels)`` of a tile whose hyperlatents were decoded by `start`."""
        mean, scale = (self._cropped(p, shape) for p in params)
        t_coarse, t_detail = table_numbers(scale, self.model.index_offset[quality], self.coarse)
        k_coarse = decoder.take(t_coarse)
        decoder.finish()
        rest = Decoder(*detail, self.tables, DETAIL_LANES)
        k_detail = rest.take(t_detail)
        rest.finish()
        y_hat = dequantise(mean, k_coarse, k_detail, self.model.delta_decode[quality], self.coarse)
        return y_hat.reshape(*shape, self.model.channels)


@dataclass(frozen=True, slots=True)
class TileParts:
    """A tile's parts, taken apart. ``planes`` has one class plane a band; ``exact`` and ``lossless`` are still packed."""

    planes: tuple[ClassPlane, ...]
    coarse: tuple[bytes, bytes]
    detail: tuple[bytes, bytes]
    exact: tuple[bytes, ...]
    lossless: bytes

    @classmethod
    def unpack(cls, coarse: bytes, detail: bytes, bands: int, shape: tuple[int, int]) -> TileParts:
        """Split both parts of a tile of `shape` pixels; raises SarzFormatError if they are malformed."""
        head = split_segments(coarse, bands + 2)
        tail = split_segments(detail, bands + 3)
        planes = tuple(unpack_plane(segment, shape) for segment in head[:bands])
        return cls(planes, tuple(head[bands:]), tuple(tail[:2]), tuple(tail[2 : 2 + bands]), tail[-1])

    def exact_values(self, band: int, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """Values of class EXACT of one band, in raster order."""
        return unpack_exact(self.exact[band], self.planes[band].count(EXACT, shape), dtype)

    def lossless_values(self, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """The lossless copy ``(bands, height, width)`` of a FALLBACK tile."""
        return decode_lossless(self.lossless, (len(self.planes), *shape), dtype)


def pack_coarse(planes: list[ClassPlane], segments: list[bytes]) -> bytes:
    """The coarse part."""
    return join_segments([*(pack_plane(p) for p in planes), *segments])


def pack_detail(segments: list[bytes], values: np.ndarray, classes: np.ndarray, lossless: bytes) -> bytes:
    """The detail part, of values and classes ``(bands, height, width)``."""
    exact = (pack_exact(v, c) for v, c in zip(values, classes))
    return join_segments([*segments, *exact, lossless])
