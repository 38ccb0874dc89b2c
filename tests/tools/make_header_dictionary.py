"""Make sarz_format/header_dictionary.bin, the preset dictionary of the header's DEFLATE stream.

    python tests/tools/make_header_dictionary.py

The dictionary is part of format version 1 and may not change with it: a file needs these very bytes to be read. The
script documents how they came about. It writes all text out itself, so that it gives the same bytes whatever GDAL,
PROJ or rasterio is installed. DEFLATE spends fewest bits on what lies nearest to the end, so the likeliest comes last.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parents[2] / "sarz_format" / "header_dictionary.bin"

DEGREE = 'ANGLEUNIT["degree",0.0174532925199433]'
METRE = 'LENGTHUNIT["metre",1]'

TAGS = {
    "": {
        "TIFFTAG_IMAGEDESCRIPTION": "Sentinel-1A IW GRD HR L1", "TIFFTAG_SOFTWARE": "Sentinel-1 IPF 003.",
        "TIFFTAG_DATETIME": "2020:", "TIFFTAG_RESOLUTIONUNIT": "1 (unitless)", "TIFFTAG_XRESOLUTION": "1",
        "TIFFTAG_YRESOLUTION": "1", "ACQUISITION_START_TIME": "2020-", "ORBIT_DIRECTION": "DESCENDING ASCENDING",
        "POLARISATION": "VV VH HH HV", "PASS": "", "MISSION_ID": "S1A S1B S1C", "PRODUCT_TYPE": "GRD SLC RTC",
        "SARZ_SCALE": "intensity amplitude db", "AREA_OR_POINT": "Point",
    },
    "xml:XMP": {},
}  # fmt: skip

BAND_TAGS = {
    "STATISTICS_APPROXIMATE": "YES", "STATISTICS_MAXIMUM": "", "STATISTICS_MEAN": "", "STATISTICS_MINIMUM": "",
    "STATISTICS_STDDEV": "", "STATISTICS_VALID_PERCENT": "100", "POLARIZATION": "VV VH", "NAME": "Band 1",
}  # fmt: skip

REASONS = (
    "asked for", "units of a band", "tag SARZ_SCALE", "uint16 values, 0% of the sample negative",
    "97% of the sampled values are negative", "100% of the sampled values are negative",
    "float32 values, 0% of the sample negative",
)  # fmt: skip


def ellipsoidal_crs() -> str:
    """The CRS of WGS 84 as GDAL 3.10 writes it in WKT2:2019."""
    return (
        'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,'
        f'{METRE}]],PRIMEM["Greenwich",0,{DEGREE}],CS[ellipsoidal,2],AXIS["geodetic latitude (Lat)",north,ORDER[1],'
        f'{DEGREE}],AXIS["geodetic longitude (Lon)",east,ORDER[2],{DEGREE}],ID["EPSG",4326]]'
    )


def projected_crs(zone: int, hemisphere: str) -> str:
    """The CRS of a UTM zone."""
    north = hemisphere == "N"
    parameters = (
        f'PARAMETER["Latitude of natural origin",0,{DEGREE},ID["EPSG",8801]],'
        f'PARAMETER["Longitude of natural origin",{6 * zone - 183},{DEGREE},ID["EPSG",8802]],'
        'PARAMETER["Scale factor at natural origin",0.9996,SCALEUNIT["unity",1],ID["EPSG",8805]],'
        f'PARAMETER["False easting",500000,{METRE},ID["EPSG",8806]],'
        f'PARAMETER["False northing",{0 if north else 10000000},{METRE},ID["EPSG",8807]]]'
    )
    return (
        f'PROJCRS["WGS 84 / UTM zone {zone}{hemisphere}",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",'
        f'ELLIPSOID["WGS 84",6378137,298.257223563,{METRE}]],PRIMEM["Greenwich",0,{DEGREE}],ID["EPSG",4326]],'
        f'CONVERSION["UTM zone {zone}{hemisphere}",METHOD["Transverse Mercator",ID["EPSG",9807]],{parameters},'
        f'CS[Cartesian,2],AXIS["easting",east,ORDER[1],{METRE}],AXIS["northing",north,ORDER[2],{METRE}],'
        f'ID["EPSG",{32600 + zone if north else 32700 + zone}]]'
    )


def header(**metadata: Any) -> dict[str, Any]:
    """A header with the usual values."""
    return {
        "groups": [{"bands": [0, 1], "model": "s1-pair-1", "weights_sha256": ""}],
        "metadata": {"count": 2, "descriptions": ["VV", "VH"], "height": 512, "width": 512} | metadata,
        "notes": [], "offsets_db": [-10, -17], "quality": 50, "scale": "db", "scale_reason": REASONS[-2],
        "tile_size": 512,
    }  # fmt: skip


def text(value: Any) -> str:
    """JSON as headers have it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def dictionary() -> bytes:
    """The bytes, likeliest last."""
    points = {"col": [0, 1135, 2270], "id": ["1"], "info": [""], "row": [0, 1501], "x": [], "y": [], "z": []}
    single = [{"bands": [0], "model": "s1-single-1", "weights_sha256": ""}]
    pieces = [
        *REASONS,
        text(BAND_TAGS),
        text(TAGS),
        text({"colorinterp": ["gray", "gray"], "offsets": [0, 0], "scales": [1, 0.01], "rpcs": {}, "band_tags": [{}]}),
        text(header(gcps=points, gcps_crs=ellipsoidal_crs(), dtype="uint16", nodata=[0, 0]) | {"groups": single}),
        text(header(crs=projected_crs(33, "S"), dtype="int16", units=["dB", "dB"]) | {"scale": "amplitude"}),
        text(header(crs=ellipsoidal_crs(), dtype="float32", tags={"": {"AREA_OR_POINT": "Area"}})
             | {"scale": "intensity", "scale_reason": REASONS[-1]}),
        text(header(crs=projected_crs(32, "N"), dtype="float32", nodata=["nan", "nan"],
                    tags={"": {"AREA_OR_POINT": "Area"}}, transform=[10, 0, 500000, 0, -10, 5000000])),
    ]  # fmt: skip
    return "".join(pieces).encode()


if __name__ == "__main__":
    OUTPUT.write_bytes(dictionary())
    print(f"{OUTPUT.name}: {len(dictionary())} bytes, SHA-256 {sha256(dictionary()).hexdigest()}")
