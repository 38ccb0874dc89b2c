"""What all commands share: the group, the pairing of names, reports, failures, summaries, interruption."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group

import sarz_format
from rio_sarcodec.batch import Outcome
from rio_sarcodec.console import TileBar, jsonable
from rio_sarcodec.failures import MisuseError, failure_text
from rio_sarcodec.jobs import Job, compress_jobs, decompress_jobs
from rio_sarcodec.options import BatchSize, PixelWindow
from sarz_format import convert


@dataclass
class FakeReport:
    """Stands in for the library's report, so that these tests need no model."""

    input: str
    output: str

    def to_json(self) -> dict[str, Any]:
        errors = {"rmse_db": 0.8, "bias_db": 0.001, "max_error_db": 6.5}
        return {
            "input": self.input, "output": self.output, "width": 10, "height": 20, "count": 2, "dtype": "uint16",
            "input_bytes": 800, "output_bytes": 100, "ratio": 8.0, "bpp": 2.0, **errors, "bands": [errors, errors],
            "tiles": 1, "lossless": False, "empty_tiles": 0, "fallback_tiles": 0, "seconds": 0.5, "scale": "amplitude",
            "scale_reason": "integers", "notes": ["a note"], "quality": 50, "arithmetic": "int8",
            "bound": None,
        }  # fmt: skip


@pytest.fixture
def run() -> Callable[..., Result]:
    """``run("compress", ...)`` as the command line would."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])

    return run


@pytest.fixture
def fake_compress(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """The library's compress replaced; returns the list of calls. Inputs with 'bad' in their name fail."""
    calls: list[tuple[str, str, dict[str, Any]]] = []

    def compress(src: str, dst: str, **options: Any) -> FakeReport:
        calls.append((src, dst, options))
        if "bad" in src:
            raise rasterio.errors.RasterioIOError(f"{src}: not recognized\nas a supported format")
        if "interrupt" in src:
            raise KeyboardInterrupt
        return FakeReport(src, dst)

    monkeypatch.setattr(convert, "compress", compress)
    return calls


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


# Pairing inputs and outputs


def test_one_input_one_output():
    assert compress_jobs(["a.tif", "b.sarz"], None) == [Job("a.tif", "b.sarz")]
    assert decompress_jobs(["b.sarz", "a.tiff"], None) == [Job("b.sarz", "a.tiff")]
    assert compress_jobs(["a.tif"], "b.SARZ") == [Job("a.tif", "b.SARZ")]


def test_directory(tmp_path):
    names = ["x/a.b.tif", "/vsicurl/https://host/c.tif", "s3://bucket/d.tif", "zip://e.zip!f/g.tif", "h"]
    outputs = [os.path.basename(job.output) for job in compress_jobs(names, str(tmp_path))]
    assert outputs == ["a.b.sarz", "c.sarz", "d.sarz", "g.sarz", "h.sarz"]
    assert compress_jobs(["a.tif", str(tmp_path)], str(tmp_path))  # -o decides; the rest are inputs


def test_query_is_not_part_of_the_name(tmp_path):
    (job,) = compress_jobs(["https://host/a.tif?sig=x/y.z"], str(tmp_path))
    assert os.path.basename(job.output) == "a.sarz"


def test_decompress_beside_the_input():
    assert decompress_jobs(["dir/a.sarz", "b.sarz"], None) == [Job("dir/a.sarz", "dir/a.tif"), Job("b.sarz", "b.tif")]
    assert decompress_jobs(["https://host/dir/a.sarz"], None) == [Job("https://host/dir/a.sarz", "a.tif")]


def test_decompress_into_a_directory(tmp_path):
    jobs = decompress_jobs(["a.sarz", "b.sarz", str(tmp_path)], None)
    assert [job.output for job in jobs] == [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]


@pytest.mark.parametrize(
    "files, output, message",
    [
        (["a.tif"], None, "no OUTPUT"),
        (["a.tif", "b.tif"], None, "'b.tif' must end in .sarz"),
        (["a.tif", "b.tif", "c.sarz"], None, "existing directory"),
        (["a.tif", "b.tif"], "missing_dir", "existing directory"),
        (["a.tif"], "missing_dir", "must end in .sarz"),
        (["a.sarz", "a.sarz"], None, "also an input"),
        (["/"], ".", "cannot make an output name"),
    ],
)
def test_compress_misuse(files, output, message):
    with pytest.raises(MisuseError, match=message):
        compress_jobs(files, output)


@pytest.mark.parametrize(
    "files, output, message",
    [
        (["a.sarz", "b.sarz", "c.tif"], None, "existing directory"),
        (["a.sarz", "b.png"], None, "must end in .tif or .tiff"),
        (["a.tif"], None, "also an input"),
    ],
)
def test_decompress_misuse(files, output, message):
    with pytest.raises(MisuseError, match=message):
        decompress_jobs(files, output)


def test_two_inputs_never_share_an_output(tmp_path):
    with pytest.raises(MisuseError, match=r"x/a.tif and y/a.img would both be written to"):
        compress_jobs(["x/a.tif", "y/a.img"], str(tmp_path))
    with pytest.raises(MisuseError, match="would both be written"):
        decompress_jobs(["a.sarz", "./a.sarz"], None)


# Parsing


@pytest.mark.parametrize("text", ["1 2 3 4", "1,2,3,4", "[1, 2, 3, 4]", "(1, 2, 3, 4)"])
def test_window_forms(text):
    assert PixelWindow().convert(text, None, None) == (1, 2, 3, 4)


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 4 5", "1 2 3 4.5", "a b c d"])
def test_window_misuse(run, text):
    result = run("decompress", "a.sarz", "--window", text)
    assert result.exit_code == 2 and "col_off row_off width height" in result.stderr


def test_batch_size():
    assert BatchSize().convert("auto", None, None) == "auto"
    assert BatchSize().convert("7", None, None) == 7


@pytest.mark.parametrize("option", [["--batch-size", "0"], ["--quality", "101"], ["--scale", "dB"], ["--device", "tpu"],
                                    ["--tile-size", "8"]])  # fmt: skip
def test_option_misuse(run, option):
    result = run("compress", "a.tif", "a.sarz", *option)
    assert result.exit_code == 2 and option[0] in result.stderr


def test_window_and_bounds_exclude_each_other(run):
    result = run("decompress", "a.sarz", "--window", "0 0 8 8", "--bounds", "0 0 1 1")
    assert result.exit_code == 2 and "exclude each other" in only_line(result.stderr)


def test_creation_options_do_not_change_the_raster(run):
    result = run("decompress", "a.sarz", "--co", "WIDTH=5")
    assert result.exit_code == 2 and "--co WIDTH: not a creation option" in only_line(result.stderr)


# The group


def test_version(run):
    result = run("--version")
    assert result.exit_code == 0
    assert f"rio-sarcodec {sarz_format.__version__}" in result.stdout
    assert ".sarz format 1" in result.stdout


def test_version_names_models_with_the_hash_of_their_weights(run):
    lines = [line.split() for line in run("--version").stdout.splitlines() if line.startswith("model ")]
    assert {"s1-pair-1", "s1-single-1"} <= {words[1] for words in lines}
    assert all(len(words[-1]) == 64 and int(words[-1], 16) >= 0 for words in lines)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"id": "x"}', b'{"id": "x", "bands": "two"}', b"null"])
def test_version_with_a_broken_model(run, tmp_path, monkeypatch, content):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_bytes(content)
    (tmp_path / "broken" / "weights.safetensors").write_bytes(b"")
    monkeypatch.setenv("SARZ_MODEL_PATH", str(tmp_path))
    result = run("--version")
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    line = only_line(result.stderr)
    assert line.startswith(f"Error: {tmp_path / 'broken'}") and "SARZ_MODEL_PATH" in line


@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_help_has_an_example(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0 and f"rio sarcodec {command} " in result.stdout.replace("Usage: ", "")


# Reports


def test_text_report(run, fake_compress, tmp_path):
    result = run("compress", "a.tif", tmp_path / "a.sarz")
    assert result.exit_code == 0 and result.stderr == ""
    for part in ("10 x 20, 2 bands, uint16", "1:8.0", "2.000 bits", "RMSE 0.800 dB", "worst 6.50 dB", "a note"):
        assert part in result.stdout


def test_json_report_is_a_line_an_input(run, fake_compress, tmp_path):
    result = run("compress", "a.tif", "bad.tif", "-o", tmp_path, "--json")
    assert result.exit_code == 1
    report, failure = map(json.loads, result.stdout.splitlines())
    assert report["input"] == "a.tif" and report["ratio"] == 8.0
    assert failure["input"] == "bad.tif" and failure["kind"] == "RasterioIOError"


def test_quiet(run, fake_compress, tmp_path):
    result = run("compress", "a.tif", "b.tif", "-o", tmp_path, "-q")
    assert result.exit_code == 0 and result.output == ""


def test_options_reach_the_library(run, fake_compress, tmp_path):
    run("compress", "a.tif", tmp_path / "a.sarz", "--quality", 7, "--scale", "db", "--tile-size", 128, "-b", 2, "-b", 1,
        "--nodata", "nan", "--model", "m", "--device", "cpu", "--batch-size", 3, "--overwrite")  # fmt: skip
    ((_, _, options),) = fake_compress
    nodata, progress = options.pop("nodata"), options.pop("progress")
    assert math.isnan(nodata) and progress is None
    assert options == {"quality": 7, "scale": "db", "tile_size": 128, "indexes": [2, 1], "model": "m", "device": "cpu",
                       "batch_size": 3, "overwrite": True, "rmse_db": None, "ratio": None, "bpp": None,
                       "lossless": False, "max_error_db": None, "max_error": None}  # fmt: skip


def test_numbers_that_json_lacks_are_null():
    assert jsonable({"a": [float("nan"), 1.5], "b": (float("inf"), "x")}) == {"a": [None, 1.5], "b": [None, "x"]}


def test_progress_bar_counts_tiles(capsys):
    bar = TileBar("scene")
    for done in (1, 2, 3):
        bar(done, 3)
    bar.close()
    assert bar._bar.finished
    assert capsys.readouterr().out == ""  # nothing of it on standard output


# Failures


def test_one_failure_and_the_rest_go_on(run, fake_compress, tmp_path):
    summary = tmp_path / "summary.json"
    result = run("compress", "a.tif", "bad.tif", "c.tif", "-o", tmp_path, "--summary", summary)
    assert result.exit_code == 1
    assert only_line(result.stderr) == "Error: bad.tif: not recognized as a supported format"
    assert [call[0] for call in fake_compress] == ["a.tif", "bad.tif", "c.tif"]
    assert "2 of 3 files" in result.stdout
    document = json.loads(summary.read_text())
    assert document["command"] == "compress" and document["interrupted"] is False
    assert [report["input"] for report in document["files"]] == ["a.tif", "c.tif"]
    assert [failure["input"] for failure in document["failures"]] == ["bad.tif"]
    totals = document["totals"]
    assert (totals["succeeded"], totals["failed"], totals["samples"]) == (2, 1, 800)
    assert (totals["input_bytes"], totals["output_bytes"]) == (1600, 200) and totals["samples_per_second"] > 0


def test_interruption(run, fake_compress, tmp_path):
    summary = tmp_path / "summary.json"
    result = run("compress", "a.tif", "interrupt.tif", "c.tif", "-o", tmp_path, "--summary", summary)
    assert result.exit_code == 130
    assert only_line(result.stderr) == "Error: interrupted"
    assert len(fake_compress) == 2
    document = json.loads(summary.read_text())
    assert document["interrupted"] is True and document["totals"]["succeeded"] == 1


def test_warnings_are_one_line(run, monkeypatch, tmp_path):
    def compress(src: str, dst: str, **options: Any) -> FakeReport:
        for _ in range(2):
            warnings.warn("tile 3\nis damaged", sarz_format.TileDamageWarning, stacklevel=1)
        return FakeReport(src, dst)

    monkeypatch.setattr(convert, "compress", compress)
    result = run("compress", "a.tif", tmp_path / "a.sarz")
    assert result.exit_code == 0
    assert only_line(result.stderr) == "Warning: a.tif: tile 3 is damaged"


def test_failure_without_a_message_names_its_kind():
    assert failure_text(MemoryError(), "a.tif") == "a.tif: MemoryError"


def test_a_mistake_of_ours_keeps_its_traceback(run, monkeypatch):
    def compress(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(convert, "compress", compress)
    assert isinstance(run("compress", "a.tif", "a.sarz").exception, ZeroDivisionError)


# The summary file


@pytest.mark.parametrize(
    "name, message", [("here.txt", "exists"), ("none/s.json", "directory does not exist"), (".", "is a directory")]
)
def test_summary_is_refused_before_any_work(run, fake_compress, tmp_path, name, message):
    (tmp_path / "here.txt").write_text("kept")
    result = run("compress", "a.tif", tmp_path / "a.sarz", "--summary", tmp_path / name)
    assert result.exit_code == 2 and message in only_line(result.stderr)
    assert fake_compress == [] and (tmp_path / "here.txt").read_text() == "kept"


def test_summary_never_replaces_a_raster(run, fake_compress, tmp_path):
    result = run("compress", tmp_path / "a.tif", tmp_path / "a.sarz", "--summary", tmp_path / "a.tif", "--overwrite")
    assert result.exit_code == 2 and "also an input" in only_line(result.stderr)


def test_summary_of_nothing_has_no_rates():
    assert Outcome("compress").totals()["samples_per_second"] is None


def test_summary_is_replaced_on_request(run, fake_compress, tmp_path: Path):
    summary = tmp_path / "s.json"
    summary.write_text("old")
    result = run("compress", "a.tif", tmp_path / "a.sarz", "--summary", summary, "--overwrite")
    assert result.exit_code == 0 and json.loads(summary.read_text())["totals"]["succeeded"] == 1
