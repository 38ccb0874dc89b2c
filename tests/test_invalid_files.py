"""Files that a reader must refuse: tests/golden/invalid has one for every reason, and both readers refuse each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from golden.make_invalid import CASES, FOLDER, VALID_FILES, WEIGHTS, files
from made_model import made_models  # noqa: F401 (a fixture)
from reference_reader import ReferenceReader, Refused

import sarz_format as sarz
from sarz_format.errors import DamagedTileError, ModelNotFoundError, SarzFormatError

pytestmark = pytest.mark.usefixtures("made_models")

REASONS: dict[str, dict[str, str]] = json.loads((FOLDER / "reasons.json").read_text(encoding="utf-8"))
ROWS = ("preamble", "header", "statistics", "index", "model", "tile part", "tile", "streams")
"""Of the table of errors in the specification."""

MESSAGES = {
    "preamble_short": "within its preamble", "preamble_magic": "signature damaged", "preamble_version_2": "version 2, this library",
    "preamble_version_0": "version 0", "preamble_flags": "flags 1", "preamble_reserved": "reserved field 1",
    "preamble_crc": "preamble is damaged", "preamble_header_length": "header_length is 0",
    "preamble_raw_length": "header_raw_length", "preamble_statistics_length": "statistics_length is 0",
    "preamble_tile_count": "tile_count is 0", "preamble_truncated": "expected 265", "preamble_longer": "1 more than it says",
    "header_crc": "header is damaged", "header_deflate": "header inflates", "header_raw_length": "header inflates",
    "header_not_json": "not JSON", "header_utf8": "not JSON", "header_unknown_key": "unknown key", "header_missing_key": "lacks",
    "header_boolean": "quality is True", "header_fraction": "quality is 50.5", "header_nan": "NaN", "header_null_character": "null",
    "header_surrogate": "not Unicode", "header_tile_size": "tile_size is 100", "header_scale": "'power'",
    "header_quality": "quality is 101", "header_offsets": "offsets_db is a list of 2", "header_offset": "10001",
    "header_width": "width is 0", "header_dtype": "'float16'", "header_descriptions": "descriptions is a list of 2",
    "header_points": "gcps x", "header_band_twice": "groups do not hold", "header_no_such_band": "band is 1",
    "header_model_name": "'../m'", "header_weights": "'ab'", "header_db_scale": "scale 0.0",
    "header_lossless_target": "lossless and target", "header_bound_lossless": "bound and lossless",
    "header_bound_value": "value of the bound is 0", "header_bound_unit": "unit of the bound", "header_target_kind": "'psnr'",
    "header_complex": "not lossless", "header_tile_count": "header has 2 tiles", "header_band_count": "64 bytes of statistics",
    "statistics_crc": "statistics is damaged", "statistics_reserved": "reserved field 1", "statistics_sum": "contradict",
    "statistics_squared": "contradict", "statistics_max": "contradict", "index_crc": "tile index is damaged",
    "index_reserved": "reserved bits", "index_flags": "unknown flags", "index_quality": "quality is over",
    "index_overview": "in a tile without one", "index_overview_band": "band that is not there", "index_order": "does not follow",
    "index_long_part": "at most 1873", "index_bounded": "no bound", "index_bound": "has a bound",
    "index_bounded_fallback": "has a bound", "index_lossless": "says lossless", "coarse_crc": "its coarse part",
    "detail_crc": "its detail part", "segments_end": "ends within a length", "segments_long_length": "more than five bytes",
    "segments_beyond": "longer than the part", "segments_left": "1 bytes follow", "copy_method": "method 4",
    "copy_method_dtype": "method 1, expected 0 or 2 or 3", "copy_size": "12 bytes expected", "copy_tile": "ends early",
    "copy_tile_step": "step 2, expected 1", "copy_tile_left": "left over", "copy_tile_values": "do not fit uint16",
    "copy_table_index": "value 1 of a table of 1", "copy_wide": "form 2", "copy_unannounced": "contradict each other",
    "copy_none": "contradict each other", "bounded_method": "method 3", "bounded_method_dtype": "method 1, expected 0",
    "bounded_cells": "expected cells", "bounded_coarse": "more than the bound of 0.4", "bounded_unit": "2\\^972",
    "bounded_values": "do not fit", "bounded_none": "contradict each other", "tile_empty_stream": "holds latents",
    "tile_empty_valid": "an empty tile has coded", "tile_bounded_invalid": "a bounded tile has no coded",
    "tile_nodata": "nodata value is None", "tile_nodata_dtype": "nodata value is -32769", "stream_state": "below 2\\^16",
    "stream_words_out": "ends early", "stream_words_left": "does not end", "stream_end": "does not end", "escapes_out": "escape bits end early",
    "escapes_large": "escaped symbol is out of range", "escapes_left": "escape bits do not end",
    "escapes_padding": "escape bits do not end", "hyperlatent": "hyperlatent is out of range",
}
"""What the package says of them; by default, any message of its kind."""

DEFAULT_MESSAGES = {"header": "canonical form", "plane": "mask: ", "exact": "exact values: ", "corrections": "corrections",
                    "stream": "rANS stream", "model": "the file needs weights"}


def weights(wanted: str) -> bytes:
    if hashlib.sha256(WEIGHTS).hexdigest() != wanted:
        raise Refused("model: not at hand")
    return WEIGHTS


@pytest.mark.parametrize("name", VALID_FILES)
def test_what_they_are_made_of_reads(name: str) -> None:
    data = (FOLDER / f"{name}.sarz").read_bytes()
    with sarz.open(data) as src:
        assert ReferenceReader(data, weights).read().tobytes() == src.read().tobytes()


@pytest.mark.parametrize("name", REASONS)
def test_both_readers_refuse_it_for_its_reason(name: str) -> None:
    data, where = (FOLDER / f"{name}.sarz").read_bytes(), REASONS[name]["where"]
    message = MESSAGES.get(name) or DEFAULT_MESSAGES[name.split("_")[0]]
    if where in ("model", "tile part", "tile", "streams"):
        with sarz.open(data) as src, pytest.raises(ModelNotFoundError if where == "model" else DamagedTileError, match=message):
            src.read()
    else:
        with pytest.raises(SarzFormatError, match=message):
            sarz.open(data)
    with pytest.raises(Refused):
        ReferenceReader(data, weights).read()


def test_every_row_of_the_table_of_errors_has_some() -> None:
    assert {reason["where"] for reason in REASONS.values()} == set(ROWS)
    specification = (FOLDER.parent.parent.parent / "docs" / "spec" / "sarz-1.md").read_text(encoding="utf-8")
    table = specification.split("## 15 Errors")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows == ["where", *ROWS]


def test_the_files_are_made_again() -> None:
    """By zlib as it is here; another DEFLATE is as good, but the files stay."""
    kept = {path.stem for path in FOLDER.glob("*.sarz")}
    assert kept == set(files()) == {*VALID_FILES, *CASES} and set(REASONS) == set(CASES)
