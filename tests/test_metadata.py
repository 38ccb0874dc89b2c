"""Metadata: through JSON text and back to a GeoTIFF, with rasterio's own reader as the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.rpc import RPC
from rasterio.transform import Affine

from sarz_format.dtypes import DTYPES
from sarz_format.errors import SarzFormatError, SarzOptionError, UnsupportedRasterError
from sarz_format.metadata import RasterMetadata
from sarz_format.metadata_json import decode_float, encode_number
from sarz_format.metadata_rasterio import GENERATED_NAMESPACES

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(10, 0, 432150.123456789, 0, -10, 4521340)

MINIMAL = {"width": 3, "height": 2, "dtype": "uint16", "count": 2}


def through_text(metadata: RasterMetadata) -> RasterMetadata:
    return RasterMetadata.from_json(json.loads(json.dumps(metadata.to_json(), allow_nan=False)))


def attributes(src: DatasetReader) -> dict[str, Any]:
    """Everything that rasterio says of a dataset, in a form that compares (NaN equals NaN)."""
    names = ("width", "height", "count", "dtypes", "crs", "transform", "rpcs", "descriptions", "units", "scales")
    namespaces = [set(src.tag_namespaces(bidx)) - GENERATED_NAMESPACES for bidx in (0, *src.indexes)]
    points, gcps_crs = src.gcps
    return {name: getattr(src, name) for name in (*names, "offsets", "colorinterp")} | {
        "nodatavals": repr(src.nodatavals),
        "gcps": ([point.asdict() for point in points], gcps_crs),
        "tags": [src.tags(bidx) for bidx in (0, *src.indexes)],
        "namespaces": [
            {name: src.tags(bidx, ns=name) for name in names} for bidx, names in enumerate(namespaces)
        ],
    }


def rewritten(path: Path, indexes: list[int] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of a raster, and of the GeoTIFF made of its metadata alone."""
    copy = path.with_name("copy.tif")
    with rasterio.open(path) as src:
        metadata = RasterMetadata.from_dataset(src, indexes)
        before = attributes(src)
    again = through_text(metadata)
    assert again == metadata
    with rasterio.open(copy, "w", **again.profile()) as dst:
        again.write_to(dst)
        dst.write(np.ones((again.count, again.height, again.width), again.dtype))
    with rasterio.open(copy) as src:
        return before, attributes(src)


def make(path: Path, change: Callable[[DatasetWriter], None] | None = None, **profile: Any) -> Path:
    """A GeoTIFF of two bands, 5 x 4 pixels."""
    profile = dict[str, Any](driver="GTiff") | {"width": 5, "height": 4, "count": 2, "dtype": "float32"} | profile
    with rasterio.open(path, "w", **profile) as dst:
        if change:
            change(dst)
        dst.write(np.ones((profile["count"], 4, 5), profile["dtype"]))
    return path


LOCAL = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
LAEA = "+proj=laea +lat_0=12.5 +lon_0=3 +ellps=bessel +towgs84=1,2,3"


@pytest.mark.parametrize(
    "crs", [UTM, CRS.from_epsg(4326), CRS.from_epsg(3031), CRS.from_string(LAEA), CRS.from_wkt(LOCAL)], ids=str
)
@pytest.mark.parametrize("transform", [NORTH_UP, Affine(9.9, 1.4, 1e6 / 3, 1.4, -9.9, 4e6 / 7), Affine.identity()])
def test_crs_and_transform(tmp_path: Path, crs: CRS, transform: Affine) -> None:
    before, after = rewritten(make(tmp_path / "a.tif", crs=crs, transform=transform))
    assert before["crs"] == crs
    assert after == before


@pytest.mark.parametrize("crs", [UTM, CRS.from_string(LAEA), CRS.from_wkt(LOCAL)], ids=str)
def test_crs_is_kept_as_wkt2(tmp_path: Path, crs: CRS) -> None:
    with rasterio.open(make(tmp_path / "a.tif", crs=crs)) as src:
        metadata = RasterMetadata.from_dataset(src)
    assert (metadata.crs_wkt or "").startswith(("PROJCRS[", "BOUNDCRS[", "ENGCRS["))
    assert metadata.crs == crs


@pytest.mark.parametrize("meaning", ["Area", "Point"])
@pytest.mark.parametrize("place", ["transform", "gcps"])
def test_area_or_point(tmp_path: Path, meaning: str, place: str, gcp_file: Path) -> None:
    def change(dst: DatasetWriter) -> None:
        dst.update_tags(AREA_OR_POINT=meaning)
        if place == "gcps":
            dst.gcps = control_points(gcp_file), CRS.from_epsg(4326)

    profile = {"crs": UTM, "transform": NORTH_UP} if place == "transform" else {}
    before, after = rewritten(make(tmp_path / "a.tif", change, **profile))
    assert before["tags"][0]["AREA_OR_POINT"] == meaning
    assert after == before


def control_points(path: Path) -> list[GroundControlPoint]:
    return [GroundControlPoint(**point) for point in json.loads(path.read_text())["points"]]


def test_the_gcps_of_a_product(tmp_path: Path, gcp_file: Path) -> None:
    def change(dst: DatasetWriter) -> None:
        dst.gcps = control_points(gcp_file), CRS.from_epsg(4326)

    before, after = rewritten(make(tmp_path / "a.tif", change))
    points, crs = after["gcps"]
    assert len(points) == 210
    assert crs == CRS.from_epsg(4326)
    exact = [(p.row, p.col, p.x, p.y, p.z) for p in control_points(gcp_file)]
    assert [(p["row"], p["col"], p["x"], p["y"], p["z"]) for p in points] == exact
    assert after == before


def test_gcps_keep_names_in_json_and_need_no_crs(tmp_path: Path) -> None:
    points = [GroundControlPoint(1.5, 2, 3, 4, 5, "north\nwest", "tie"), GroundControlPoint(0, 0, 1 / 3, -0.0)]
    with MemoryFile() as memory, memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8") as dst:
        dst.gcps = points, CRS()
        metadata = through_text(RasterMetadata.from_dataset(dst))
    assert metadata.gcps_crs_wkt is None
    again, crs = metadata.rasterio_gcps
    assert crs is None
    assert [(p.row, p.col, p.x, p.y) for p in again] == [(1.5, 2.0, 3.0, 4.0), (0.0, 0.0, 1 / 3, -0.0)]
    metadata = replace(metadata, gcps=(replace(metadata.gcps[0], id="north\nwest", info="tie"), metadata.gcps[1]))
    assert through_text(metadata) == metadata


def rational_polynomials() -> RPC:
    coefficients = [1 / (3 + number) * (-1) ** number for number in range(20)]
    return RPC(100.5, 500, 41.25, 0.5, coefficients, coefficients, 2000.5, 2000, 11.125, 0.75, coefficients,
               coefficients[::-1], 3000, 3000.25, err_bias=0.5, err_rand=0.25)  # fmt: skip


def test_rpcs(tmp_path: Path) -> None:
    before, after = rewritten(make(tmp_path / "a.tif", rpcs=rational_polynomials()))
    assert before["rpcs"].line_off == 2000.5
    assert after == before


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("float32", math.nan), ("float32", -9999), ("float32", -3.4028234663852886e38), ("float32", math.inf),
        ("float32", 0.1), ("float64", 1e-300), ("float64", -math.inf), ("uint16", 0), ("uint16", 65535),
        ("int16", -32768), ("uint8", 255), ("int8", -128), ("int32", -(2**31)), ("uint32", 2**32 - 1),
        ("int64", 2**53), ("int64", -9999), ("uint64", 7), ("float32", None), ("uint16", None), ("uint8", 0.5),
    ],
)  # fmt: skip
def test_nodata(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    before, after = rewritten(make(tmp_path / "a.tif", dtype=dtype, nodata=nodata))
    assert after == before


def test_nodata_differs_between_bands_of_a_vrt(tmp_path: Path) -> None:
    bands = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{band}">{nodata}</VRTRasterBand>'
        for band, (dtype, nodata) in enumerate(
            [("Float32", "<NoDataValue>nan</NoDataValue>"), ("Float32", "<NoDataValue>-99.5</NoDataValue>"),
             ("Float32", ""), ("Int64", "<NoDataValue>9007199254740993</NoDataValue>"),
             ("Int64", "<NoDataValue>-9223372036854775807</NoDataValue>")], 1)
    )  # fmt: skip
    path = tmp_path / "a.vrt"
    path.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    with rasterio.open(path) as src:
        floats = through_text(RasterMetadata.from_dataset(src, [1, 2, 3]))
        integers = through_text(RasterMetadata.from_dataset(src, [5, 4]))
        with pytest.raises(UnsupportedRasterError, match="float32 and int64"):
            RasterMetadata.from_dataset(src)
        with pytest.raises(UnsupportedRasterError, match="no bands"):
            RasterMetadata.from_dataset(src, [])
    assert repr(floats.nodata) == "(nan, -99.5, None)"
    assert integers.nodata == (-9223372036854775807, 9007199254740993)
    assert math.isnan(floats.profile()["nodata"])
    assert len(floats.geotiff_losses()) == 2
    assert "nodata" not in integers.profile()
    assert len(integers.geotiff_losses()) == 2


@pytest.mark.parametrize("nodata", [-1, math.nan, 0.5, 70000, 2**63])
def test_nodata_that_the_dtype_cannot_hold(tmp_path: Path, nodata: float) -> None:
    metadata = RasterMetadata(width=5, height=4, dtype="uint16", nodata=(nodata, nodata))
    again = through_text(metadata)
    assert again == metadata
    assert type(again.nodata[0]) is type(nodata)
    with rasterio.open(tmp_path / "a.tif", "w", **again.profile()) as dst:
        again.write_to(dst)
    assert len(again.geotiff_losses()) == (0 if nodata == 0.5 else 2)


def test_bands_and_tags(tmp_path: Path) -> None:
    def change(dst: DatasetWriter) -> None:
        dst.descriptions = ("VV", "VH", None)
        dst.units = ("dB", "", "degree")
        dst.scales = (0.01, 1, 1 / 3)
        dst.offsets = (-83.5, 0, 1e-7)
        dst.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
        dst.update_tags(TITLE="a=b=c", EMPTY="", UNICODE="Tromsø 北", LINES="one\ntwo")
        dst.update_tags(TIFFTAG_SOFTWARE="Sentinel-1 IPF 003.61")
        dst.update_tags(ns="SAR", ORBIT="ascending", LOOKS="5")
        dst.update_tags(1, STATISTICS_MEAN="-12.5", POLARIZATION="VV")
        dst.update_tags(3, ns="ANGLE", KIND="local incidence")

    path = make(tmp_path / "a.tif", change, count=3, dtype="int16", crs=UTM, transform=NORTH_UP, nodata=-32768)
    before, after = rewritten(path)
    assert before["tags"][0]["UNICODE"] == "Tromsø 北"
    assert before["namespaces"][0]["SAR"] == {"ORBIT": "ascending", "LOOKS": "5"}
    assert after == before


@pytest.mark.parametrize("document", ['<r><a b="c=d"/>é</r>', '<?xml version="1.0"?>\n<r/>', "<r>no sign</r>"])
def test_xml_namespaces(tmp_path: Path, document: str) -> None:
    metadata = RasterMetadata(width=5, height=4, dtype="uint8", nodata=(None,), tags={"xml:XMP": {"xml:XMP": document}})
    with rasterio.open(tmp_path / "a.tif", "w", **metadata.profile()) as dst:
        metadata.write_to(dst)
    with rasterio.open(tmp_path / "a.tif") as src:
        again = src.tags(ns="xml:XMP")["xml:XMP"]
    assert again.removeprefix('<?xml version="1.0"?>\n').strip() == document.removeprefix('<?xml version="1.0"?>\n')
    before, after = rewritten(tmp_path / "a.tif")
    assert after == before


@pytest.mark.parametrize("name", ["harvey_db", "harvey_grd", "harvey_sigma0", "spatialist_db", "ssl4eo_db"])
def test_real_rasters(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(request.getfixturevalue(name).read_bytes())
    before, after = rewritten(path)
    assert after == before


def test_choosing_bands(tmp_path: Path) -> None:
    def change(dst: DatasetWriter) -> None:
        dst.descriptions = ("VV", "VH", "angle")
        dst.offsets = (1, 2, 3)
        dst.update_tags(2, A="2")

    with rasterio.open(make(tmp_path / "a.tif", change, count=3)) as src:
        chosen = RasterMetadata.from_dataset(src, [3, 2])
        assert chosen == RasterMetadata.from_dataset(src).select_bands([2, 1])
    assert chosen.descriptions == ("angle", "VH")
    assert chosen.offsets == (3.0, 2.0)
    assert chosen.band_tags == ({}, {"": {"A": "2"}})


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # rasterio 1.4 multiplies transforms as affine 2 did
def test_cropping_moves_the_georeferencing(tmp_path: Path, gcp_file: Path) -> None:
    with rasterio.open(make(tmp_path / "a.tif", crs=UTM, transform=NORTH_UP)) as src:
        cropped = RasterMetadata.from_dataset(src).cropped(1, 2, 3, 2)
        assert cropped.affine == src.window_transform(((1, 4), (2, 4)))
    assert (cropped.height, cropped.width) == (3, 2)

    def change(dst: DatasetWriter) -> None:
        dst.gcps = control_points(gcp_file), CRS.from_epsg(4326)

    with rasterio.open(make(tmp_path / "b.tif", change)) as src:
        cropped = RasterMetadata.from_dataset(src).cropped(1, 2, 3, 2)
    assert cropped.transform is None
    assert [(p.row, p.col) for p in cropped.gcps] == [(p.row - 1, p.col - 2) for p in control_points(gcp_file)]

    with rasterio.open(make(tmp_path / "c.tif", rpcs=rational_polynomials())) as src:
        moved = RasterMetadata.from_dataset(src).cropped(1, 2, 3, 2).rasterio_rpcs
    assert moved is not None
    assert (moved.line_off, moved.samp_off) == (1999.5, 2998.0)


def test_cropping_a_raster_that_is_nowhere() -> None:
    metadata = RasterMetadata(width=5, height=4, dtype="uint8", nodata=(None,))
    assert metadata.cropped(0, 0, 2, 2).transform is None
    assert metadata.cropped(1, 2, 2, 2).transform == (1, 0, 2, 0, 1, 1)


CINT32 = """<VRTDataset rasterXSize="6" rasterYSize="5"><VRTRasterBand dataType="CInt32" band="1"/></VRTDataset>"""


def test_complex_integers_of_32_bits_are_refused(tmp_path: Path) -> None:
    """rasterio calls them complex64 and rounds them."""
    path = tmp_path / "a.vrt"
    path.write_text(CINT32, encoding="ascii")
    with rasterio.open(path) as src, pytest.raises(UnsupportedRasterError, match="CInt32.*gdal_translate -ot CFloat64"):
        assert src.dtypes == ("complex64",)
        RasterMetadata.from_dataset(src)


def test_lengths_are_checked() -> None:
    with pytest.raises(SarzOptionError, match="units has 1 values for 2 bands"):
        RasterMetadata(width=1, height=1, dtype="uint8", nodata=(None, None), units=("dB",))


def test_usual_values_are_left_out() -> None:
    metadata = RasterMetadata(width=3, height=2, dtype="uint16", nodata=(None, None))
    assert metadata.to_json() == MINIMAL
    assert RasterMetadata.from_json(MINIMAL) == metadata


def test_what_a_geotiff_cannot_say() -> None:
    tags = {"": {"ns": "x", "A": "y"}}
    metadata = RasterMetadata(3, 2, "uint8", nodata=(None,), transform=(2, 0, 0, 0, -2, 0), tags=tags)
    assert metadata.geotiff_losses() == ("tag 'ns': rasterio cannot write a tag of that name",)
    with MemoryFile() as memory, memory.open(**metadata.profile()) as dst:
        metadata.write_to(dst)
        assert dst.tags() == {"A": "y"}


@settings(deadline=None)
@given(st.floats(allow_nan=True))
def test_floats_are_exact_in_json(number: float) -> None:
    again = decode_float(json.loads(json.dumps(encode_number(number), allow_nan=False)), "x")
    assert repr(again) == repr(number)


WRONG: tuple[Any, ...] = (None, True, 1, -1, 2**70, 1.5, 1e300, "", "x", "nan", "a\0b", "\ud800", [], [1],
         [None, None], [[], []], {}, {"x": 1}, {"": {}})  # fmt: skip


@pytest.mark.parametrize("key", ["width", "height", "dtype", "count", "crs", "transform", "gcps", "gcps_crs", "rpcs",
                                 "nodata", "descriptions", "units", "scales", "offsets", "colorinterp", "tags",
                                 "band_tags", "unknown"])  # fmt: skip
@pytest.mark.parametrize("value", WRONG, ids=ascii)
def test_wrong_types_raise_only_format_errors(key: str, value: Any) -> None:
    try:
        metadata = RasterMetadata.from_json(MINIMAL | {key: value})
    except SarzFormatError as exc:
        assert "\n" not in str(exc)
    else:
        json.dumps(metadata.to_json(), allow_nan=False).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"height": 2**31}, "height is 2147483648"),
        ({"count": 10**9}, "count is 1000000000"),
        ({"dtype": "complex_int32"}, "dtype is 'complex_int32'"),
        ({"dtype": ["uint8"]}, "dtype is"),
        ({"transform": [1, 2, 3]}, "a list of 6"),
        ({"transform": [1, 2, 3, 4, 5, 1e999]}, "out of range"),
        ({"transform": [1, 2, 3, 4, 5, 10**400]}, "too large"),
        ({"nodata": [1]}, "a list of 2"),
        ({"nodata": [1, 10**30]}, "nodata is"),
        ({"gcps": {"row": [1], "col": [1], "x": [1]}}, "lacks y"),
        ({"gcps": {"row": [1], "col": [1], "x": [1], "y": [1, 2]}}, "gcps y"),
        ({"gcps": {"row": [1], "col": [1], "x": [1], "y": ["1"]}}, "expected a number"),
        ({"tags": {"": {"a": 1}}}, "expected text"),
        ({"rpcs": {"LINE_OFF": 1}}, "expected text"),
        ({"tags": []}, "expected an object"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_messages(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        RasterMetadata.from_json(MINIMAL | change)


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_not_metadata(value: Any) -> None:
    with pytest.raises(SarzFormatError):
        RasterMetadata.from_json(value)


def test_hostile_georeferencing_is_refused_when_it_is_used() -> None:
    metadata = RasterMetadata.from_json(MINIMAL | {"crs": "PROJCRS[", "rpcs": {"LINE_OFF": "x"}})
    with pytest.raises(SarzFormatError, match="CRS in the header does not parse"):
        _ = metadata.crs
    with pytest.raises(SarzFormatError, match="RPCs in the header"):
        _ = metadata.rasterio_rpcs
    unknown = RasterMetadata.from_json(MINIMAL | {"colorinterp": ["gray", "ultraviolet"]})
    assert unknown.rasterio_colorinterp == (ColorInterp.gray, ColorInterp.undefined)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"rpcs": {}})
@given(st.dictionaries(st.sampled_from(["crs", "transform", "gcps", "rpcs", "nodata", "units", "scales", "tags",
                                        "band_tags", "colorinterp", "dtype", "count", "width"]), JSON))  # fmt: skip
def test_any_json_is_read_or_refused(change: dict[str, Any]) -> None:
    try:
        metadata = RasterMetadata.from_json(MINIMAL | change)
    except SarzFormatError:
        return
    assert metadata.dtype in DTYPES
    assert through_text(metadata) == metadata
