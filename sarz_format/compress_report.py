"""The report of a compression, from what the encoder measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .dtypes import value_bytes
from .header import Header
from .reports import CompressReport
from .statistics import BandStatistics
from .target import RMSE_DB, TOLERANCE, Target

if TYPE_CHECKING:
    from .encoder import Encoder
    from .lossless import LosslessEncoder


def compress_report(source: str, output: str, header: Header, encoder: Encoder | LosslessEncoder,
                    size: int, seconds: float) -> CompressReport:
    """What came of a compression to `size` bytes; its notes are those of the header, then those on a missed target."""
    metadata, raw = header.metadata, raw_bytes(header)
    total = _errors(sum(encoder.statistics, BandStatistics()))
    bands = [{"band": i + 1, "description": metadata.descriptions[i], **_errors(s)}
             for i, s in enumerate(encoder.statistics)]
    figures = {"ratio": raw / size, "bpp": size * 8 / (metadata.width * metadata.height * metadata.count), **total}
    reached = encoder.reached
    target = header.target and {**header.target.to_json(), "reached": figures[header.target.kind], **reached.to_json()}
    notes = [*header.notes, *reached.notes(), *_size_notes(header.target, figures, reached.qualities)]
    return CompressReport(
        input=source, output=output, width=metadata.width, height=metadata.height, count=metadata.count,
        dtype=metadata.dtype, input_bytes=raw, output_bytes=size, **figures, bands=bands,
        tiles=header.grid.rows * header.grid.cols * len(header.groups), empty_tiles=encoder.empty_tiles,
        fallback_tiles=encoder.fallback_tiles, seconds=seconds, scale=header.scale, scale_reason=header.scale_reason,
        quality=header.quality, arithmetic=encoder.arithmetic, notes=notes, timings=encoder.timings, target=target,
        tile_qualities=reached.qualities, arithmetic_refused=encoder.arithmetic_refused,
        lossless=header.lossless, bound=_bound(header, encoder))


def _bound(header: Header, encoder: Encoder | LosslessEncoder) -> dict[str, Any] | None:
    """The bound that was asked for, and the worst error in its unit, over all and a band each."""
    if header.bound is None:
        return None
    worst: list[float] = encoder.worst
    return {**header.bound.to_json(), "worst": max(worst), "worst_by_band": list(worst)}


def raw_bytes(header: Header) -> int:
    """Bytes of the raster's array, uncompressed."""
    metadata = header.metadata
    return metadata.width * metadata.height * metadata.count * value_bytes(metadata.dtype)


def _size_notes(target: Target | None, figures: dict[str, float], qualities: dict[str, int] | None) -> Iterator[str]:
    """What a reader should know about a size that is not the one asked for."""
    if target is None or target.kind == RMSE_DB or not target.missed_by(figures[target.kind]):
        return
    used = f"its tiles have qualities {qualities['min']} to {qualities['max']}" if qualities else "no tile goes through a model"
    yield (f"{target.kind} {target.value:g} was asked for and {figures[target.kind]:.4g} reached, more than "
           f"{TOLERANCE:.0%} off; {used}, and 0 to 100 is all there is")


def _errors(statistics: BandStatistics) -> dict[str, float]:
    return {"rmse_db": statistics.rmse_db, "bias_db": statistics.bias_db, "max_error_db": statistics.max_error_db}
