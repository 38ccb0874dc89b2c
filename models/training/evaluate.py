"""Measure a model on a folder of GeoTIFFs, by real files: compressed, read back, compared.

    python models/training/evaluate.py models/s1-pair-1 DIR [--qualities 10 30 50 70 90] [--json FILE]
    python models/training/evaluate.py runs/s1-pair/checkpoint.pt DIR --train DIR

A checkpoint is exported to a temporary folder first, its tables fitted to the rasters of --train. Rasters with more bands
than the model codes together are measured as several; those with fewer are left out. Sizes are of whole files; how each
figure is defined: docs/comparison.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import sarz
from data import find_rasters
from export import export

from sarz_format.weights import ModelInfo, describe_model

DEFAULT_QUALITIES = (10, 30, 50, 70, 90)


@dataclass(frozen=True, slots=True)
class Row:
    """One file: rate in bits a band pixel, errors in dB over all bands, decoded less original."""

    raster: str
    bands: tuple[int, ...]
    """Numbered from 1."""
    quality: int
    bytes: int
    bpp: float
    rmse_db: float
    bias_db: float
    worst_db: float
    power_bias_db: float
    """Of the mean linear power: the band that is furthest off."""
    block_power_db: float
    """The same of blocks of 64 x 64 pixels: the block that is furthest off; NaN if none is large enough."""
    fallback_tiles: int
    """Tiles stored losslessly."""


def measure_folder(model: ModelInfo, folder: Path, qualities: Sequence[int]) -> list[Row]:
    """A row for each group of bands and quality; raises ValueError if no raster has enough bands."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in find_rasters(folder):
            for raster, bands in band_groups(path, model.bands, Path(scratch)):
                rows += [measure(model, path, raster, bands, quality) for quality in qualities]
    if not rows:
        raise ValueError(f"{folder}: no GeoTIFF with {model.bands} band(s) or more")
    return rows


def band_groups(path: Path, size: int, scratch: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """A raster file for each `size` consecutive bands of a raster, and which they are; itself if these are all."""
    with rasterio.open(path) as src:
        if src.count == size:
            yield path, src.indexes
            return
        for first in range(1, src.count - size + 2, size):
            bands = tuple(range(first, first + size))
            yield copy_bands(src, bands, scratch / f"bands_{first}.tif"), bands


def copy_bands(src: rasterio.DatasetReader, bands: tuple[int, ...], path: Path) -> Path:
    """Some bands of an open raster as a GeoTIFF, with all that tells their scale."""
    places = [band - 1 for band in bands]
    with rasterio.open(path, "w", driver="GTiff", width=src.width, height=src.height, count=len(bands),
                       dtype=src.dtypes[0], nodata=src.nodatavals[places[0]]) as dst:
        dst.write(src.read(bands))
        dst.update_tags(**src.tags())
        for name in ("descriptions", "units", "scales", "offsets"):
            setattr(dst, name, tuple(getattr(src, name)[place] for place in places))
    return path


def measure(model: ModelInfo, path: Path, raster: Path, bands: tuple[int, ...], quality: int) -> Row:
    """Compress one file beside scratch copies of its raster and measure it; raises ValueError if it used another model."""
    with tempfile.TemporaryDirectory() as scratch:
        coded = Path(scratch) / "coded.sarz"
        report = sarz.compress(raster, coded, quality=quality, model=str(model.folder))
        check_model(model, coded)
        figures = sarz.compare(raster, coded).to_json()["bands"]
    power = [band["power"] for band in figures]
    return Row(path.name, bands, quality, report.output_bytes, report.bpp, report.rmse_db, report.bias_db,
               report.max_error_db, furthest(band["bias_db"] for band in power),
               furthest(band["blocks"]["worst_db"] for band in power if band["blocks"]["count"]), report.fallback_tiles)


def check_model(model: ModelInfo, coded: Path) -> None:
    """Raise ValueError unless the file names the model, by its hash, for all of its bands."""
    with sarz.open_container(coded) as container:
        named = {group["weights_sha256"] for group in sarz.describe(container)["models"]}
    if named != {model.weights_sha256}:
        raise ValueError(f"the bands of this raster are not coded by {model.id} (angles and alpha never are)")


def furthest(values: Iterator[float | None]) -> float:
    """The value furthest from 0; NaN for none."""
    return max((value for value in values if value is not None), key=abs, default=math.nan)


def means_table(rows: Sequence[Row]) -> str:
    """A Markdown table with a line a quality: mean rate, error and bias of the files, and the worst of the others."""
    lines = ["| quality | files | bpp | RMSE dB | bias dB | worst dB | power bias dB | block power dB | fallback tiles |",
             "|---|---|---|---|---|---|---|---|---|"]
    for quality in sorted({row.quality for row in rows}):
        at = [row for row in rows if row.quality == quality]
        mean = {name: np.mean([getattr(row, name) for row in at]) for name in ("bpp", "rmse_db", "bias_db")}
        worst = {name: furthest(getattr(row, name) for row in at if math.isfinite(getattr(row, name)))
                 for name in ("worst_db", "power_bias_db", "block_power_db")}
        lines.append(f"| {quality} | {len(at)} | {mean['bpp']:.3f} | {mean['rmse_db']:.3f} | {mean['bias_db']:+.3f} "
                     f"| {worst['worst_db']:.2f} | {worst['power_bias_db']:+.3f} | {worst['block_power_db']:+.3f} "
                     f"| {sum(row.fallback_tiles for row in at)} |")
    return "\n".join(lines)


def write_json(path: Path, model: ModelInfo, rows: Sequence[Row]) -> None:
    """The model and every row; figures that do not exist are null."""
    files: list[dict[str, Any]] = [asdict(row) for row in rows]
    finite = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in file.items()}
              for file in files]
    named = {"id": model.id, "bands": model.bands, "weights_sha256": model.weights_sha256}
    path.write_text(json.dumps({"version": sarz.__version__, "model": named, "files": finite}, indent=1), "utf-8")


def evaluate(model: Path, folder: Path, qualities: Sequence[int], train_dir: Path | None = None,
             json_path: Path | None = None) -> str:
    """Measure a model's folder, or a checkpoint with the rasters that its tables are fitted to; return the table.

    Raises ValueError for a checkpoint without `train_dir` and for rasters that the model does not code.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if model.is_file():
            if train_dir is None:
                raise ValueError(f"{model} is a checkpoint: --train names the rasters that its tables are fitted to")
            checkpoint, model = model, Path(scratch) / "evaluated"
            export(checkpoint, train_dir, model)
        info = describe_model(model.resolve())
        searched = os.environ.get("SARZ_MODEL_PATH")
        # Files are read back as anyone would who was given the model.
        os.environ["SARZ_MODEL_PATH"] = os.pathsep.join(filter(None, (str(info.folder), searched)))
        rows = measure_folder(info, folder, qualities)
    if json_path:
        write_json(json_path, info, rows)
    return means_table(rows)


def main() -> None:
    """Read the arguments, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model, or a checkpoint")
    parser.add_argument("folder", type=Path, help="folder of GeoTIFFs to measure")
    parser.add_argument("--qualities", type=int, nargs="+", default=DEFAULT_QUALITIES, help="qualities to measure")
    parser.add_argument("--train", type=Path, help="for a checkpoint: rasters that the entropy tables are fitted to")
    parser.add_argument("--json", type=Path, help="write the figures of every file here")
    args = parser.parse_args()
    try:
        print(evaluate(args.model, args.folder, args.qualities, args.train, args.json))
    except (ValueError, OSError, sarz.SarzError) as exc:
        raise SystemExit(f"error: {exc}") from exc


if __name__ == "__main__":
    main()
