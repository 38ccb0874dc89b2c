"""A decoder's steps after entropy decoding as tensors, so that pixels decoded on a GPU stay there.

What did not go through the model (lossless copies, nodata, exact values) is made on the host, by the decoder's own
code, and uploaded; it is bytes that came from the file. No pixels are downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .codec import tensor_steps
from .codec.device import Engine
from .codec.mosaic import synthesise_tensors
from .grid import Box
from .mask import VALID
from .tiles import LoadedTile
from .window_jobs import ConvertJob, Tiles, Wanted, copy_pieces, latents_of, pieces_of

if TYPE_CHECKING:
    from .decoder import WindowDecoder


class TensorPixels:
    """PixelSteps on a device. Until they are finished, values are the bits of the raster's dtype as integers.

    Parameters
    ----------
    decoder
        Whose tiles are decoded.
    """

    def __init__(self, decoder: WindowDecoder) -> None:
        self._decoder, self._device = decoder, decoder.device
        self._dtype = np.dtype(decoder.header.metadata.dtype)
        self._tables: dict[int, Tensor] = {}

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """Values yet to be filled in."""
        return torch.empty(shape, dtype=tensor_steps.BITS[self._dtype.itemsize], device=self._device)

    def exact(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> list[Tensor]:
        """As `WindowDecoder.exact`."""
        bands = engine.network.model.bands
        out = [torch.zeros((bands, *strip.shape), dtype=torch.int16, device=self._device) for strip in strips]
        pieces = pieces_of(tiles, strips, self._decoder.grid, self._device)
        run, grid = self._decoder._run, self._decoder.grid
        for box, pixels in synthesise_tensors(engine.network, run, grid, latents_of(tiles), pieces):
            copy_pieces(box, pixels, pieces[box], strips, out)
        return out

    def blended(self, engine: Engine, tiles: Tiles, strips: Sequence[Box]) -> list[Tensor]:
        """As `WindowDecoder.blended`, whose canvas is on the host: only these pixels leave the device."""
        return [torch.from_numpy(pixels).to(self._device) for pixels in self._decoder.blended(engine, tiles, strips)]

    def convert_all(self, jobs: Iterable[ConvertJob]) -> None:
        """Write the values of parts of tiles into results."""
        for job in jobs:
            self._convert(*job)

    def fill(self, values: Tensor, where: np.ndarray, value: float | int) -> None:
        """Set one band's pixels to a value."""
        bits = np.array(value).astype(self._dtype).reshape(1)
        values[self._upload(where)] = tensor_steps.bits_of(bits, self._device)[0]

    def finished(self, values: Tensor) -> Tensor:
        """The values, of the raster's dtype."""
        return values.view(tensor_steps.torch_dtype(self._dtype))

    def _convert(self, tile: LoadedTile, position: tuple[int, int], wanted: list[Wanted], strip: Box,
                 pixels: Tensor | None, window: Box, values: Tensor) -> None:
        """Write the values of one tile's part of a strip into the result."""
        box = self._decoder.grid.tile(*position)
        part = box.intersection(strip)
        rows, cols = part.slices(window)
        if tile.damage is not None:
            return
        if tile.values is not None:
            for i, _, member in wanted:
                values[i, rows, cols] = tensor_steps.bits_of(tile.values[(member, *part.slices(box))], self._device)
            return
        corrected = {}
        if not tile.entry.empty:
            for member in {member for _, _, member in wanted}:
                corrected[member] = pixels[(member, *part.slices(strip))]
                tensor_steps.apply_corrections(
                    corrected[member], tile.corrections[member], box.shape[1], part.row0 - box.row0,
                    part.col0 - box.col0, gains=self._decoder._power_gains,
                )  # fmt: skip
        for i, band, member in wanted:
            out = values[i, rows, cols]
            if not tile.entry.empty:
                out.copy_(tensor_steps.gather(self._table(band), corrected[member]))
            self._restore(tile, band, member, box, part, out)

    def _restore(self, tile: LoadedTile, band: int, member: int, box: Box, part: Box, out: Tensor) -> None:
        """Put back what did not go through the model."""
        plane = tile.planes[member]
        if plane.kind == VALID:
            return
        host = np.zeros(part.shape, self._dtype)
        self._decoder._restore(tile, band, member, box, part, host)
        coded = self._upload(plane.array(box.shape)[part.slices(box)] == VALID)
        out.copy_(torch.where(coded, out, tensor_steps.bits_of(host, self._device)))

    def _table(self, band: int) -> Tensor:
        if band not in self._tables:
            self._tables[band] = tensor_steps.bits_of(self._decoder.radiometry[band].value_table, self._device)
        return self._tables[band]

    def _upload(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
