"""Make tests/golden/invalid again: files that a reader must refuse, each for one reason.

    python tests/golden/make_invalid.py

`CASES` has a name, the row of the specification's table of errors (section 15) and the reason. Every file is one of four
valid ones, which are in the folder too, with one thing changed; all checksums fit unless they are the reason. Those that
need a model take a made-up one of tests/made_model.py.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

import numpy as np
from made_model import made_arrays
from plain_rans import plain_encode
from reference_reader import DICTIONARY, Model
from safetensors.numpy import save

FOLDER = HERE / "invalid"
NOTHING = hashlib.sha256(b"").hexdigest()
EMPTY, FALLBACK, BOUNDED = 1, 2, 4


def deflate(data: bytes, *dictionary: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9, 0, *dictionary)
    return stream.compress(data) + stream.flush()


def leb128(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + leb128(n >> 7)


@dataclass
class Draft:
    """A file of one tile, taken apart; `pack` puts it together whatever it says."""

    header: dict[str, Any]
    coarse: list[bytes]
    detail: list[bytes]
    flags: int
    quality: int = 50
    overview: tuple[int, int] = (0, 0)
    reserved: int = 0
    statistics: bytes = b""
    text: bytes | None = None
    """Instead of the header's canonical text."""
    packed: bytes | None = None
    """Instead of the DEFLATE of the text."""
    gap: int = 0
    """Bytes by which the detail offset is off."""
    crc: dict[str, int] = field(default_factory=dict)
    """XOR of checksums: header, statistics, index, preamble, coarse, detail."""
    fields: dict[str, int] = field(default_factory=dict)
    """Of the preamble, instead of what they should be."""
    parts: dict[str, bytes] = field(default_factory=dict)
    """Instead of the segments joined."""

    def pack(self) -> bytes:
        text = self.text if self.text is not None else canonical(self.header)
        packed = self.packed if self.packed is not None else deflate(text, DICTIONARY)
        statistics = self.statistics or bytes(32 * self.header["metadata"]["count"])
        coarse, detail = (self.parts.get(name, b"".join(leb128(len(s)) + s for s in segments))
                          for name, segments in (("coarse", self.coarse), ("detail", self.detail)))
        start = 64 + len(packed) + len(statistics) + 40
        index = struct.pack("<QQIIIIBBHHH", start + len(detail), start + self.gap, len(coarse), len(detail),
                            zlib.crc32(coarse) ^ self.crc.get("coarse", 0), zlib.crc32(detail) ^ self.crc.get("detail", 0),
                            self.flags, self.quality, self.reserved, *self.overview)
        fields = {"version": 1, "flags": 0, "header": len(packed), "header_crc": zlib.crc32(packed) ^ self.crc.get("header", 0),
                  "raw": len(text), "statistics": len(statistics),
                  "statistics_crc": zlib.crc32(statistics) ^ self.crc.get("statistics", 0), "tiles": 1,
                  "index_crc": zlib.crc32(index) ^ self.crc.get("index", 0), "detail": len(detail), "coarse": len(coarse),
                  "reserved": 0} | self.fields
        preamble = struct.pack("<8sHHIIIIIIIQQI", b"\x89SARZ\r\n\x1a", *fields.values())
        own = struct.pack("<I", zlib.crc32(preamble) ^ self.crc.get("preamble", 0))
        return preamble + own + packed + statistics + index + detail + coarse


def canonical(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def header(dtype: str, height: int, width: int, weights: str = NOTHING, **more: Any) -> dict[str, Any]:
    metadata = {"count": 1, "dtype": dtype, "height": height, "width": width} | more.pop("metadata", {})
    group = {"bands": [0], "model": "none" if weights == "0" * 64 else "made-single", "weights_sha256": weights}
    return {"groups": [group], "metadata": metadata, "offsets_db": [0], "quality": 50, "scale": "amplitude",
            "scale_reason": "asked for", "tile_size": 64} | more


def empty() -> Draft:
    """The whole file of the specification (17.10): int16, nodata, zeros, two exact values."""
    return Draft(header("int16", 3, 5, metadata={"nodata": [-32768], "descriptions": ["VV"]}),
                 [bytes.fromhex("045bcacc220c00"), b"", b""], [b"", b"", bytes.fromhex("06fbfdffca3f00")[1:], b"", b""], EMPTY)


WEIGHTS = save({k: np.ascontiguousarray(v) for k, v in sorted(made_arrays(1).items())})
MODEL = Model(WEIGHTS)


def streams(z: dict[int, int] | None = None, detail: int = 0, more: int = 0) -> list[bytes]:
    """Streams and escapes of one latent position at quality 50: hyperlatents by channel, and the last detail symbol;
    `more` zeros follow it."""
    hyper = np.zeros((32, 1, 1), np.int64)
    for channel, value in (z or {}).items():
        hyper[channel] = value
    _, index = MODEL.hyper_synthesis(hyper)
    t = np.clip(index[:, 0, 0] + MODEL["index_offset"][50] + 128 >> 8, 0, 63).tolist()
    first = [0, 1, 16, 17]
    others = [c for c in range(256) if c not in first]
    cdf, reach = MODEL["cdf"], MODEL["reach"]
    # In state 0 zeros change no state.
    coarse = plain_encode([*hyper[:, 0, 0], *[0] * 4], [*range(64, 96), *(t[c] for c in first)], cdf, reach, 4)
    return [*coarse, *plain_encode([0] * 251 + [detail] + [0] * more, [*(t[c] for c in others), *[63] * more], cdf, reach, 4)]


def coded(parts: Sequence[bytes] | None = None, corrections: bytes = b"") -> Draft:
    """12 x 10 pixels through a model, all VALID, without a nodata value."""
    a, b, c, d = parts or streams({3: 5})
    made = header("uint16", 12, 10, hashlib.sha256(WEIGHTS).hexdigest(), offsets_db=[45])
    return Draft(made, [b"\0", a, b], [c, d, b"", corrections, b""], 0)


PLANE = bytes.fromhex("00 00 8b 81 ad f9 10 64 00 c8 01")
"""17.11: a bounded copy, all pixels 100, by method 0 with cells."""


def bounded(copy: bytes = PLANE, dtype: str = "uint16", **bound: Any) -> Draft:
    made = header(dtype, 4, 5, "0" * 64, bound={"unit": "db", "value": 0.5} | bound, quality=100)
    return Draft(made, [b"\0", b"", b""], [b"", b"", b"", b"", copy], EMPTY | BOUNDED, 100)


def lossless(copy: bytes | None = None, dtype: str = "uint16", **more: Any) -> Draft:
    """2 x 3 pixels, 17.3."""
    made = header(dtype, 2, 3, "0" * 64, lossless=True, quality=100, **more)
    copy = bytes.fromhex("004b61facbc8f08f81e13f03030300") if copy is None else copy
    return Draft(made, [b"\3", b"", b""], [b"", b"", b"", b"", copy], EMPTY | FALLBACK, 100)


def with_(draft: Draft, **changes: Any) -> bytes:
    for name, value in changes.items():
        setattr(draft, name, value)
    return draft.pack()


def headed(draft: Draft | None = None, **changes: Any) -> bytes:
    """With other keys in the header, or in its metadata; None takes one out."""
    draft = draft or empty()
    for key, value in changes.items():
        where = draft.header["metadata"] if key in draft.header["metadata"] or key in ("scales", "tags", "gcps") else draft.header
        where[key] = value
        if value is None:
            del where[key]
    return draft.pack()


def segmented(draft: Draft, part: str, number: int, value: bytes) -> bytes:
    getattr(draft, part)[number] = value
    return draft.pack()


def statistics(count: int, total: int, squared: int, top: int, rest: int = 0) -> bytes:
    return with_(empty(), statistics=struct.pack("<QqQII", count, total, squared, top, rest))


def grouped(**changes: Any) -> bytes:
    draft = empty()
    draft.header["groups"][0] |= changes
    return draft.pack()


def texted(change: Callable[[bytes], bytes]) -> bytes:
    draft = empty()
    draft.text = change(canonical(draft.header))
    return draft.pack()


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def cut(parts: list[bytes], number: int, change: Callable[[bytes], bytes]) -> bytes:
    """The coded file with one of its streams or escape bits changed."""
    return coded([change(p) if i == number else p for i, p in enumerate(parts)]).pack()


VALID_FILES: dict[str, Callable[[], bytes]] = {
    "valid_empty": lambda: empty().pack(), "valid_coded": lambda: coded(corrections=bits("0 1")).pack(),
    "valid_bounded": lambda: bounded().pack(), "valid_lossless": lambda: lossless().pack()}


def bits(text: str, parameters: int = 0) -> bytes:
    """Corrections: the byte of parameters, then bits with zeros behind them."""
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return bytes([parameters, *(int(text[i : i + 8], 2) for i in range(0, len(text), 8))])


CASES: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "preamble_short": ("preamble", "fewer than 64 bytes", lambda: empty().pack()[:63]),
    "preamble_magic": ("preamble", "another magic", lambda: changed(empty().pack(), 0, b"\x09")),
    "preamble_version_2": ("preamble", "a newer version", lambda: with_(empty(), fields={"version": 2})),
    "preamble_version_0": ("preamble", "version 0", lambda: with_(empty(), fields={"version": 0})),
    "preamble_flags": ("preamble", "reserved flags", lambda: with_(empty(), fields={"flags": 1})),
    "preamble_reserved": ("preamble", "a reserved field", lambda: with_(empty(), fields={"reserved": 1})),
    "preamble_crc": ("preamble", "CRC", lambda: with_(empty(), crc={"preamble": 1})),
    "preamble_header_length": ("preamble", "header length 0", lambda: with_(empty(), fields={"header": 0})),
    "preamble_raw_length": ("preamble", "header raw length over 2^24", lambda: with_(empty(), fields={"raw": 2**24 + 1})),
    "preamble_statistics_length": ("preamble", "statistics length 0", lambda: with_(empty(), fields={"statistics": 0})),
    "preamble_tile_count": ("preamble", "tile count 0", lambda: with_(empty(), fields={"tiles": 0})),
    "preamble_truncated": ("preamble", "the file is shorter", lambda: empty().pack()[:-1]),
    "preamble_longer": ("preamble", "the file is longer", lambda: empty().pack() + b"\0"),
    "header_crc": ("header", "CRC", lambda: with_(empty(), crc={"header": 1})),
    "header_deflate": ("header", "bytes behind the DEFLATE", lambda: with_(
        empty(), packed=deflate(canonical(empty().header), DICTIONARY) + b"\0")),
    "header_raw_length": ("header", "inflates to more", lambda: with_(empty(), fields={"raw": 300})),
    "header_not_json": ("header", "no JSON", lambda: texted(lambda t: t[:-1])),
    "header_utf8": ("header", "no UTF-8", lambda: texted(lambda t: t.replace(b"asked", b"\xffsked"))),
    "header_key_twice": ("header", "a key twice", lambda: texted(lambda t: t.replace(
        b'"quality":50', b'"quality":50,"quality":50'))),
    "header_unknown_key": ("header", "an unknown key", lambda: headed(colour="red")),
    "header_missing_key": ("header", "a missing key", lambda: headed(scale_reason=None)),
    "header_boolean": ("header", "a boolean for a number", lambda: headed(quality=True)),
    "header_fraction": ("header", "a fraction for an integer", lambda: headed(quality=50.5)),
    "header_nan": ("header", "the literal NaN", lambda: headed(nodata=[float("nan")])),
    "header_white_space": ("header", "white space", lambda: texted(lambda t: t.replace(b",", b", ", 1))),
    "header_real": ("header", "a whole real with a fraction", lambda: headed(scales=[2.0])),
    "header_default": ("header", "a default spelled out", lambda: headed(notes=[])),
    "header_null_character": ("header", "U+0000 in a string", lambda: headed(scale_reason="a\0b")),
    "header_surrogate": ("header", "a lone surrogate", lambda: texted(lambda t: t.replace(b"asked", b"\\ud800"))),
    "header_tile_size": ("header", "a tile size that is no multiple of 64", lambda: headed(tile_size=100)),
    "header_scale": ("header", "an unknown scale", lambda: headed(scale="power")),
    "header_quality": ("header", "quality over 100", lambda: headed(quality=101)),
    "header_offsets": ("header", "an offset too many", lambda: headed(offsets_db=[0, 0])),
    "header_offset": ("header", "an offset out of its bounds", lambda: headed(offsets_db=[10001])),
    "header_width": ("header", "width 0", lambda: headed(width=0)),
    "header_dtype": ("header", "an unknown dtype", lambda: headed(dtype="float16")),
    "header_descriptions": ("header", "a description too many", lambda: headed(descriptions=["a", "b"])),
    "header_empty_tags": ("header", "a namespace without items", lambda: headed(tags={"": {}})),
    "header_points": ("header", "columns of points of unequal length", lambda: headed(
        gcps={"row": [0], "col": [0], "x": [1, 2], "y": [1]})),
    "header_band_twice": ("header", "a band in a group twice", lambda: grouped(bands=[0, 0])),
    "header_no_such_band": ("header", "a band that is not there", lambda: grouped(bands=[1])),
    "header_model_name": ("header", "a model's name that could be a path", lambda: grouped(model="../m")),
    "header_weights": ("header", "weights that are no SHA-256", lambda: grouped(weights_sha256="ab")),
    "header_db_scale": ("header", "dB with a scale of 0", lambda: headed(scale="db", scales=[0])),
    "header_lossless_target": ("header", "lossless and target", lambda: headed(
        lossless(), target={"kind": "bpp", "value": 1})),
    "header_bound_lossless": ("header", "bound and lossless", lambda: headed(bounded(), lossless=True)),
    "header_bound_value": ("header", "a bound of 0", lambda: bounded(value=0).pack()),
    "header_bound_unit": ("header", "an unknown unit of a bound", lambda: bounded(unit="m").pack()),
    "header_target_kind": ("header", "an unknown target", lambda: headed(target={"kind": "psnr", "value": 40})),
    "header_complex": ("header", "a complex dtype without lossless", lambda: headed(dtype="complex64", nodata=None)),
    "header_tile_count": ("header", "a tile count that does not fit it", lambda: headed(width=65)),
    "header_band_count": ("header", "a statistics length that does not fit it", lambda: with_(empty(), statistics=bytes(64))),
    "statistics_crc": ("statistics", "CRC", lambda: with_(empty(), crc={"statistics": 1})),
    "statistics_reserved": ("statistics", "a reserved field", lambda: statistics(0, 0, 0, 0, 1)),
    "statistics_sum": ("statistics", "|sum| > count x max", lambda: statistics(2, -9, 18, 4)),
    "statistics_squared": ("statistics", "sum_squared > count x max^2", lambda: statistics(2, 0, 33, 4)),
    "statistics_max": ("statistics", "max of no pixels", lambda: statistics(0, 0, 0, 4)),
    "index_crc": ("index", "CRC", lambda: with_(empty(), crc={"index": 1})),
    "index_reserved": ("index", "a reserved field", lambda: with_(empty(), reserved=1)),
    "index_flags": ("index", "reserved flags", lambda: with_(empty(), flags=EMPTY | 8)),
    "index_quality": ("index", "quality over 100", lambda: with_(empty(), quality=101)),
    "index_overview": ("index", "an overview's correction of an EMPTY tile", lambda: with_(empty(), overview=(0x1840, 0))),
    "index_overview_band": ("index", "an overview's correction of a band that is not there", lambda: with_(
        coded(), overview=(0, 0x1840))),
    "index_order": ("index", "a part that does not begin where it should", lambda: with_(empty(), gap=1)),
    "index_long_part": ("index", "a part longer than its tile can need", lambda: with_(empty(), parts={"detail": bytes(5000)})),
    "index_bounded": ("index", "BOUNDED without a bound", lambda: with_(empty(), flags=EMPTY | BOUNDED)),
    "index_bound": ("index", "a tile with latents in a file with a bound", lambda: with_(bounded(), flags=0)),
    "index_bounded_fallback": ("index", "BOUNDED and FALLBACK", lambda: with_(bounded(), flags=EMPTY | BOUNDED | FALLBACK)),
    "index_lossless": ("index", "a tile without a copy in a lossless file", lambda: with_(lossless(), flags=EMPTY)),
    "model_missing": ("model", "no weights of that SHA-256", lambda: with_(coded(), header=coded().header | {
        "groups": [{"bands": [0], "model": "made-single", "weights_sha256": NOTHING}]})),
    "coarse_crc": ("tile part", "CRC of the coarse part", lambda: with_(empty(), crc={"coarse": 1})),
    "detail_crc": ("tile part", "CRC of the detail part", lambda: with_(empty(), crc={"detail": 1})),
    "segments_end": ("tile part", "a length that does not end", lambda: with_(empty(), parts={"coarse": b"\x80"})),
    "segments_long_length": ("tile part", "a length of six bytes", lambda: with_(
        empty(), parts={"coarse": b"\x87\x80\x80\x80\x80\0" + bytes.fromhex("045bcacc220c00") + b"\0\0"})),
    "segments_beyond": ("tile part", "a segment longer than the part", lambda: with_(empty(), parts={"coarse": b"\7\4"})),
    "segments_left": ("tile part", "bytes behind the last segment", lambda: with_(
        empty(), parts={"coarse": b"\7" + bytes.fromhex("045bcacc220c00") + b"\0\0\0"})),
    "plane_kind": ("tile part", "class plane: kind 5", lambda: segmented(empty(), "coarse", 0, b"\5")),
    "plane_none": ("tile part", "class plane: no byte", lambda: segmented(empty(), "coarse", 0, b"")),
    "plane_more": ("tile part", "class plane: bytes behind kind 2", lambda: segmented(empty(), "coarse", 0, b"\2\0")),
    "plane_size": ("tile part", "class plane: inflates to more", lambda: segmented(empty(), "coarse", 0, b"\4" + deflate(bytes(5)))),
    "exact_none": ("tile part", "exact values: none for EXACT pixels", lambda: segmented(empty(), "detail", 2, b"")),
    "exact_size": ("tile part", "exact values: inflate to more", lambda: segmented(empty(), "detail", 2, deflate(bytes(6)))),
    "exact_unasked": ("tile part", "exact values where no pixel is EXACT", lambda: segmented(empty(), "coarse", 0, b"\2")),
    "corrections_early": ("tile part", "corrections: run out", lambda: coded(corrections=b"\0\xff").pack()),
    "corrections_gain": ("tile part", "corrections: a gain over 960", lambda: coded(
        corrections=bits("1" * (1922 >> 4) + "0" + "0010" + "1", 4)).pack()),
    "corrections_place": ("tile part", "corrections: a target beyond the tile", lambda: coded(
        corrections=bits("0 010 " + "1" * 120 + "0 0 1")).pack()),
    "corrections_target": ("tile part", "corrections: a target over 511", lambda: coded(
        corrections=bits("0 010 0 0 " + "0" * 9 + "1" + "0" * 9)).pack()),
    "corrections_code": ("tile part", "corrections: 31 zeros", lambda: coded(corrections=bits("0" * 32 + "1" * 32)).pack()),
    "corrections_left": ("tile part", "corrections: a byte left over", lambda: coded(corrections=bits("0 1") + b"\0").pack()),
    "corrections_padding": ("tile part", "corrections: a bit that is 1 left over", lambda: coded(corrections=bits("0 1 1")).pack()),
    "corrections_fallback": ("tile part", "corrections of a tile with a copy", lambda: segmented(
        lossless(), "detail", 3, bits("0 1"))),
    "copy_method": ("tile part", "lossless copy: method 4", lambda: lossless(b"\4").pack()),
    "copy_method_dtype": ("tile part", "lossless copy: method 1 for floats", lambda: lossless(
        b"\1" + b"\1\0\0", "float32").pack()),
    "copy_size": ("tile part", "lossless copy: inflates to less", lambda: lossless(b"\0" + deflate(bytes(11))).pack()),
    "copy_tile": ("tile part", "lossless copy: a contextual tile that ends early", lambda: lossless(b"\1\1\1").pack()),
    "copy_tile_step": ("tile part", "lossless copy: a contextual tile of step 2", lambda: lossless(b"\1\2\0\0").pack()),
    "copy_tile_left": ("tile part", "lossless copy: bytes behind the contextual tile", lambda: lossless(b"\1\1\0\0\0").pack()),
    "copy_tile_values": ("tile part", "lossless copy: a value that the dtype does not have", lambda: lossless(b"\1\1\0\1").pack()),
    "copy_table_index": ("tile part", "lossless copy: an index beyond the table", lambda: lossless(
        b"\2" + b"\1" + leb128(len(deflate(bytes(4)))) + deflate(bytes(4)) + b"\1\0\2", "float32").pack()),
    "copy_wide": ("tile part", "lossless copy: wide numbers of form 2", lambda: lossless(b"\3\2" + bytes(20), "float32").pack()),
    "copy_unannounced": ("tile part", "a copy without FALLBACK", lambda: with_(
        empty(), detail=[*empty().detail[:4], b"\0" + deflate(bytes(30))])),
    "copy_none": ("tile part", "FALLBACK without a copy", lambda: lossless(b"").pack()),
    "bounded_method": ("tile part", "bounded: method 3", lambda: bounded(b"\3" + PLANE[1:]).pack()),
    "bounded_method_dtype": ("tile part", "bounded: method 1 for integers", lambda: bounded(b"\1\0\0\1\0\xc8\1", unit="raster").pack()),
    "bounded_cells": ("tile part", "bounded: steps where there should be cells", lambda: bounded(b"\0\1\0\xc8\1").pack()),
    "bounded_coarse": ("tile part", "bounded: coarser than the bound", lambda: bounded(value=0.4).pack()),
    "bounded_unit": ("tile part", "bounded: an exponent over 971", lambda: bounded(
        b"\1" + struct.pack("<h", 972) + b"\1\0\0", "float32", unit="raster", value=1e308).pack()),
    "bounded_values": ("tile part", "bounded: a value that the dtype does not have", lambda: bounded(
        b"\0\1\0\1", unit="raster").pack()),
    "bounded_none": ("tile part", "BOUNDED without a copy", lambda: bounded(b"").pack()),
    "tile_empty_stream": ("tile", "an EMPTY tile with a stream", lambda: segmented(empty(), "coarse", 1, b"\2")),
    "tile_empty_valid": ("tile", "an EMPTY tile with VALID pixels", lambda: with_(
        empty(), coarse=[b"\0", b"", b""], detail=[b""] * 5)),
    "tile_bounded_invalid": ("tile", "a BOUNDED tile without VALID pixels", lambda: segmented(bounded(), "coarse", 0, b"\2")),
    "tile_nodata": ("tile", "NODATA pixels without a nodata value", lambda: headed(nodata=None)),
    "tile_nodata_dtype": ("tile", "NODATA pixels with a nodata value that the dtype does not have", lambda: headed(nodata=[-32769])),
    "stream_none": ("streams", "no bytes", lambda: cut(streams(), 0, lambda s: b"")),
    "stream_lanes_few": ("streams", "first byte 1", lambda: cut(streams(), 0, lambda s: b"\1" + s[1:])),
    "stream_lanes_many": ("streams", "first byte 6", lambda: cut(streams(), 0, lambda s: b"\6" + s[1:] + bytes(300))),
    "stream_short": ("streams", "fewer bytes than states", lambda: cut(streams(), 0, lambda s: s[:15])),
    "stream_even": ("streams", "an even number of bytes", lambda: cut(streams(), 2, lambda s: s + b"\0")),
    "stream_state": ("streams", "a state below 2^16 to begin with", lambda: cut(streams(), 0, lambda s: changed(s, 1, b"\xff\xff\0\0"))),
    "stream_words_out": ("streams", "out of words", lambda: cut(streams(), 2, lambda s: s[:-2])),
    "stream_words_left": ("streams", "words left", lambda: cut(streams(), 2, lambda s: s + b"\0\0")),
    "stream_end": ("streams", "a state other than 2^16 at the end", lambda: coded(streams(more=1)).pack()),
    "escapes_out": ("streams", "escape bits that run out", lambda: cut(streams({0: 100}), 1, lambda s: s[:-1])),
    "escapes_large": ("streams", "an escape over 2^15", lambda: coded(streams(detail=2**15 + 1)).pack()),
    "escapes_left": ("streams", "8 escape bits left", lambda: cut(streams({0: 100}), 1, lambda s: s + b"\0")),
    "escapes_padding": ("streams", "an escape bit that is 1 left", lambda: cut(streams(), 3, lambda s: b"\1")),
    "hyperlatent": ("streams", "a hyperlatent over 127", lambda: coded(streams({0: 128})).pack()),
}


def files() -> dict[str, bytes]:
    """The valid files and the invalid ones, by name."""
    return {**{name: make() for name, make in VALID_FILES.items()}, **{name: make() for name, (_, _, make) in CASES.items()}}


def main() -> None:
    """Write every file, and the table of reasons."""
    FOLDER.mkdir(exist_ok=True)
    for name, data in files().items():
        (FOLDER / f"{name}.sarz").write_bytes(data)
    reasons = {name: {"where": where, "reason": reason} for name, (where, reason, _) in CASES.items()}
    (FOLDER / "reasons.json").write_text(json.dumps(reasons, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
