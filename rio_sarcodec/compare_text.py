"""The report of a comparison as a table for a reader: a row a figure, a column a band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .report import bound_text

LABEL_WIDTH, COLUMN_WIDTH = 42, 16
BANDS_ABREAST = 4

ROWS: tuple[tuple[str, str, str], ...] = (
    ("error, dB", "", ""),
    ("pixels valid in both", "difference.pixels", ",d"),
    ("valid in A alone", "difference.only_in_a", ",d"),
    ("valid in B alone", "difference.only_in_b", ",d"),
    ("RMSE", "difference.rmse_db", ".3f"),
    ("bias, mean of B - A", "difference.bias_db", "+.4f"),
    ("worst", "difference.worst_db", "+.2f"),
    ("95 % within", "difference.p95_db", ".3f"),
    ("99 % within", "difference.p99_db", ".3f"),
    ("99.9 % within", "difference.p99_9_db", ".3f"),
    ("bias of mean power, dB", "", ""),
    ("whole area", "power.bias_db", "+.4f"),
    ("blocks of 64 x 64", "power.blocks.count", ",d"),
    ("  mean", "power.blocks.mean_db", "+.4f"),
    ("  5th percentile", "power.blocks.p5_db", "+.4f"),
    ("  median", "power.blocks.p50_db", "+.4f"),
    ("  95th percentile", "power.blocks.p95_db", "+.4f"),
    ("  worst", "power.blocks.worst_db", "+.3f"),
    ("  within 0.05 dB", "power.blocks.share_within_0_05_db", ".1%"),
    ("equivalent number of looks", "", ""),
    ("homogeneous blocks of 32 x 32", "looks.blocks", ",d"),
    ("A", "looks.enl_a", ".2f"),
    ("B", "looks.enl_b", ".2f"),
    ("B over A", "looks.ratio", ".3f"),
    ("point targets, dB", "", ""),
    ("pixels 15 dB above their surroundings", "targets.count", ",d"),
    ("not valid in B", "targets.lost", ",d"),
    ("change of the peak, mean", "targets.mean_db", "+.3f"),
    ("  1st percentile", "targets.p1_db", "+.3f"),
    ("  99th percentile", "targets.p99_db", "+.3f"),
    ("  worst", "targets.worst_db", "+.2f"),
    ("  within 0.5 dB", "targets.share_within_0_5_db", ".1%"),
    ("edges", "", ""),
    ("strongest 1 %, pixels", "edges.count", ",d"),
    ("contrast in A, dB", "edges.contrast_a_db", ".2f"),
    ("contrast in B, dB", "edges.contrast_b_db", ".2f"),
    ("edge preservation, B over A", "edges.preservation", ".3f"),
    ("ratio image A / B, intensity", "", ""),
    ("mean", "ratio.mean", ".4f"),
    ("variance", "ratio.variance", ".4f"),
    ("equivalent number of looks", "ratio.enl", ".1f"),
    ("lag-1 correlation in rows", "ratio.lag1_in_rows", "+.3f"),
    ("lag-1 correlation in columns", "ratio.lag1_in_columns", "+.3f"),
)
"""``(label, path of the figure in a band's dictionary, format)``; a row without a path is a heading."""

HIDDEN_WHEN_ZERO = frozenset({"difference.only_in_a", "difference.only_in_b", "targets.lost"})


def compare_text(report: dict[str, Any]) -> str:
    """The report as text; a figure that does not exist is a dash."""
    lines = [
        f"A {report['a']}: {report['width']} x {report['height']}, {report['scale_a']}{bound_text(report['bound_a'])}",
        f"B {report['b']}: {report['scale_b']}{bound_text(report['bound_b'])}",
    ]
    for first in range(0, report["count"], BANDS_ABREAST):
        lines += ["", *_table(report["bands"][first : first + BANDS_ABREAST])]
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"plot: {report['plot']}"] if report["plot"] else []
    return "\n".join(lines)


def _table(bands: list[dict[str, Any]]) -> Iterator[str]:
    yield _row("", [_band_name(band) for band in bands])
    for label, path, form in ROWS:
        if not path:
            yield label
            continue
        values = [_figure(band, path) for band in bands]
        if path not in HIDDEN_WHEN_ZERO or any(values):
            yield _row(f"  {label}", ["-" if value is None else format(value, form) for value in values])


def _row(label: str, cells: list[str]) -> str:
    return (label.ljust(LABEL_WIDTH) + "".join(cell.rjust(COLUMN_WIDTH) for cell in cells)).rstrip()


def _band_name(band: dict[str, Any]) -> str:
    description = " ".join((band["description"] or "").split())
    name = f"{band['band_a']} {description}".strip()
    return name if len(name) < COLUMN_WIDTH else f"{name[: COLUMN_WIDTH - 4]}..."


def _figure(band: dict[str, Any], path: str) -> Any:
    value: Any = band
    for key in path.split("."):
        value = value[key]
    return value
