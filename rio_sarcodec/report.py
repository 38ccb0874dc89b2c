"""The reports of compress and decompress as text for a reader."""

from __future__ import annotations

import math
from typing import Any


def compress_text(report: dict[str, Any]) -> str:
    """What compressing did to one file."""
    sizes = f"{report['input_bytes']:,} -> {report['output_bytes']:,} bytes"
    lines = [
        f"{report['input']} -> {report['output']}",
        f"  raster   {_shape_text(report)}, {report['scale']} ({report['scale_reason']})",
        f"  size     {sizes}, 1:{report['ratio']:.1f}, {report['bpp']:.3f} bits a pixel and band",
        f"  error    {_outcome_text(report)}",
    ]
    if len(report["bands"]) > 1 and not report["lossless"]:
        lines += [f"  band {number:<4}{_error_text(band, bool(report['bound']))}" for number, band in enumerate(report["bands"], 1)]
    lines.append(f"  tiles    {_tiles_text(report)}, {_effort_text(report)}")
    return "\n".join(lines + _note_lines(report))


def decompress_text(report: dict[str, Any]) -> str:
    """What decompressing did to one file."""
    lines = [
        f"{report['input']} -> {report['output']}",
        f"  raster   {_shape_text(report)}",
        f"  size     {report['output_bytes']:,} bytes",
        f"  tiles    {report['tiles']}, {_effort_text(report)}",
    ]
    damaged = report.get("damaged_tiles") or []
    if damaged:
        places = ", ".join(str(tile) for tile in damaged[:8]) + (", ..." if len(damaged) > 8 else "")
        lines.append(f"  damaged  {len(damaged)} tiles written as nodata: {places}")
    return "\n".join(lines + _note_lines(report))


def _shape_text(report: dict[str, Any]) -> str:
    count = report["count"]
    return f"{report['width']} x {report['height']}, {count} band{'s' if count != 1 else ''}, {report['dtype']}"


def _error_text(errors: dict[str, Any], bounded: bool = False) -> str:
    """RMSE, bias and worst error; there is none where no pixel was coded."""
    rmse_db = errors["rmse_db"]
    if rmse_db is None or math.isnan(rmse_db):
        return "nothing to measure in dB" if bounded else "nothing to measure (no pixel went through the model)"
    return f"RMSE {rmse_db:.3f} dB, bias {errors['bias_db']:+.3f} dB, worst {errors['max_error_db']:.2f} dB"


def _outcome_text(report: dict[str, Any]) -> str:
    if report["lossless"]:
        return "none: lossless"
    if report["bound"]:
        return f"{_error_text(report, bounded=True)}{bound_text(report['bound'])}"
    return f"{_error_text(report)}, {_quality_text(report)}"


def bound_text(bound: dict[str, Any] | None) -> str:
    """A bound, and the worst error in its unit where it was measured, behind other text; nothing without a bound."""
    if bound is None:
        return ""
    unit = " dB" if bound["unit"] == "db" else " in the units of the raster"
    worst = bound.get("worst")
    return f", bound {bound['value']:g}{unit}" + ("" if worst is None else f", worst {worst:.4g}")


def _quality_text(report: dict[str, Any]) -> str:
    target, used = report.get("target"), report.get("tile_qualities")
    if target is None:
        return f"at quality {report['quality']}"
    text = f"for {target['kind']} {target['value']:g}"
    return f"{text} at qualities {used['min']} to {used['max']} (median {used['median']})" if used else text


def _tiles_text(report: dict[str, Any]) -> str:
    return f"{report['tiles']} ({report['empty_tiles']} empty, {report['fallback_tiles']} stored losslessly)"


def _effort_text(report: dict[str, Any]) -> str:
    """How the networks were computed, and the time that everything took."""
    return f"{report['arithmetic']}, in {report['seconds']:.1f} s"


def _note_lines(report: dict[str, Any]) -> list[str]:
    return [f"  note     {note}" for note in report.get("notes", ())]
