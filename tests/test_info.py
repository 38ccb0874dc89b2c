"""What info says: everything in the header, sizes and errors, for people and as JSON, without torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_container import STATISTICS, three_bands, tiles, write
from test_header import WEIGHTS, header

from sarz_format.container import Container, open_container
from sarz_format.header import BandGroup
from sarz_format.index import EMPTY
from sarz_format.info import describe, format_text
from sarz_format.metadata import ControlPoint, RasterMetadata
from sarz_format.statistics import BandStatistics


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return open_container(write(tmp_path / "scene.sarz", three_bands(), tiles(), STATISTICS))


def test_description(container: Container) -> None:
    description = describe(container)
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert description["bytes"] == container.source.size == 64 + sum(description["section_bytes"].values())
    assert description["raw_bytes"] == 100 * 140 * 3 * 2
    assert description["ratio"] == pytest.approx(84_000 / container.source.size)
    assert description["bits_per_sample"] == pytest.approx(8 * container.source.size / 42_000)
    assert description["tiles"] == {
        "rows": 3, "cols": 2, "groups": 2, "total": 12, "coded": 2, "empty": 4, "fallback": 6, "bounded": 0,
    }  # fmt: skip
    assert description["models"][0] == {"model": "s1-pair-1", "weights_sha256": WEIGHTS, "bands": [1, 3]}
    assert [band["group"] for band in description["bands"]] == [0, 1, 0]
    assert description["bands"][0]["rmse_db"] == pytest.approx(math.sqrt(9.9) / 1000)
    assert description["bands"][1]["rmse_db"] is None
    assert description["error"]["pixels_compared"] == 17
    assert description["error"]["max_error_db"] == pytest.approx(0.005)
    assert "tile_table" not in description


def test_time_is_linear_in_the_number_of_bands(tmp_path: Path) -> None:
    """As many bands as there may be, each in a group of its own; seconds, where a search for each band takes minutes."""
    count = 65535
    made = header(
        metadata=RasterMetadata(width=3, height=2, dtype="uint8", nodata=(None,) * count),
        tile_size=64,
        offsets_db=(0,) * count,
        groups=tuple(BandGroup((band,), "s1-single-1", WEIGHTS) for band in range(count)),
    )
    content = [(b"\1\1\0\0", b"\0\0\0\0", EMPTY, 50)] * count
    started = time.process_time()
    with open_container(write(tmp_path / "x.sarz", made, content, [BandStatistics()] * count)) as opened:
        description = describe(opened, tiles=True)
    assert len(format_text(description).splitlines()) > 2 * count
    assert time.process_time() - started < 30
    assert description["bands"][-1]["group"] == count - 1


def test_tile_table(container: Container) -> None:
    table = describe(container, tiles=True)["tile_table"]
    assert len(table) == 12
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert {row["kind"] for row in table} == {"coded", "empty", "fallback"}
    last = table[-1]
    assert (last["row"], last["col"], last["group"]) == (2, 1, 1)
    assert (last["row_off"], last["col_off"], last["height"], last["width"]) == (128, 64, 12, 36)
    assert sum(row["detail_bytes"] for row in table) == container.preamble.detail_length


def test_text(container: Container) -> None:
    text = format_text(describe(container))
    assert "100 x 140, 3 band(s) of int16" in text
    assert "2 coded, 4 empty, 6 fallback" in text
    assert "every pixel is stored exactly" in text
    assert "not georeferenced" in text
    assert "s1-single-1" in text
    assert format_text(describe(container, tiles=True)).count("\n  tile ") == 12


def test_georeferencing_and_notes_are_shown(tmp_path: Path) -> None:
    metadata = RasterMetadata(
        width=10, height=10, dtype="float64", nodata=(math.nan, -math.inf), crs_wkt='PROJCRS["Grid of X",...]',
        transform=(10, 0.5, 0, 0, math.nan, 0), gcps=(ControlPoint(1, 2, 3, 4),), rpcs={"LINE_OFF": "1"},
        tags={"": {"AREA_OR_POINT": "Area"}, "SAR": {"a": "1", "b": "2"}}, descriptions=("VV", None),
    )  # fmt: skip
    made = header(metadata=metadata, notes=("two bands have no description",))
    container = open_container(write(tmp_path / "a.sarz", made, tiles(1), [BandStatistics(1, 2, 4, 2)] * 2))
    description = describe(container)
    assert description["transform"] == [10, 0.5, 0, 0, "nan", 0]
    assert [band["nodata"] for band in description["bands"]] == ["nan", "-inf"]
    json.dumps(description, allow_nan=False)
    text = format_text(description)
    for expected in ("Grid of X", "1 ground control points in an unnamed CRS", "RPCs", "AREA_OR_POINT=Area", "SAR: 2",
                     "note        two bands", "nodata nan", "RMSE 0.002 dB, bias +0.002 dB"):  # fmt: skip
        assert expected in text


def test_torch_is_not_imported(container: Container) -> None:
    code = (
        "import sys; from sarz_format.container import open_container; from sarz_format.info import describe\n"
        f"describe(open_container({container.source.name!r}), tiles=True)\n"
        "assert not {'torch', 'numba', 'xarray'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
