"""Files over HTTP and other file systems: few exact requests, retries, clear errors, no secrets, threads and processes.

The server is a real one on loopback (range_server.py) that counts what it is asked for and misbehaves on demand.
"""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from made_model import made_models  # noqa: F401 (a fixture)
from range_server import RangeServer
from rasterio.rio.main import main_group
from rasterio.windows import Window
from remote_child import bytes_of_details, child
from scenes import SHAPE, TILE, write_kinds_scene
from test_container import write as write_container
from test_header import header as make_header

import sarz_format as sarz
from sarz_format import ranges
from sarz_format.container import FIRST_READ_BYTES, open_container
from sarz_format.errors import (
    MissingDependencyError,
    SarzError,
    SarzFileNotFoundError,
    SarzFormatError,
    SarzIOError,
    SarzOptionError,
    TruncatedFileError,
)
from sarz_format.metadata import RasterMetadata
from sarz_format.remote import http, retry
from sarz_format.remote.source import RemoteSource
from sarz_format.source import FileSource, open_source
from sarz_format.statistics import BandStatistics

NAME = "scene.sarz"
SECRET = "hunter2"


@pytest.fixture(scope="module")
def scene(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Two band groups, three rows and four columns of tiles, every kind of tile."""
    folder = tmp_path_factory.mktemp("scene")
    sarz.compress(write_kinds_scene(folder / "scene.tif"), folder / NAME, tile_size=TILE, quality=60)
    return folder / NAME


@pytest.fixture(scope="module")
def whole(scene: Path) -> np.ndarray:
    with sarz.open(scene) as src:
        return src.read()


@pytest.fixture(scope="module")
def long_index(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of 4096 tiles, whose index does not fit into the first request."""
    path = tmp_path_factory.mktemp("long") / "long.sarz"
    metadata = RasterMetadata(width=4096, height=4096, dtype="uint8", nodata=(None, None))
    write_container(path, make_header(metadata=metadata, tile_size=64), [(b"c" * 9, b"d" * 40, 0, 1)] * 4096,
                    [BandStatistics()] * 2)
    return path.read_bytes()


@pytest.fixture
def server(scene: Path) -> Iterator[RangeServer]:
    with RangeServer({NAME: scene.read_bytes()}) as running:
        yield running


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.005)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=0.15))


@pytest.fixture
def scattered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two tiles are neighbours, so that windows of a small scene need many ranges, as those of a large one do."""
    monkeypatch.setattr(ranges, "GAP_BYTES", -1)


def large(data: bytes) -> bytes:
    """The file with so much behind it that no server without ranges is asked for all of it."""
    return data + bytes(http.WHOLE_BYTES)


# Requests


def test_opening_is_one_request_and_tells_the_size(server: RangeServer, scene: Path) -> None:
    with sarz.open(server.url(NAME)) as src, sarz.open(scene) as local:
        (request,) = server.requests
        assert (request.method, request.range) == ("GET", f"bytes=0-{FIRST_READ_BYTES - 1}")
        assert src.profile == local.profile and src.crs == local.crs
        assert src.stats.requests == 1
        assert src.stats.bytes_read == server.sent == min(FIRST_READ_BYTES, scene.stat().st_size)
        assert src.name == server.url(NAME)


def test_a_long_index_is_a_second_request(server: RangeServer, long_index: bytes) -> None:
    server.files["long"] = long_index
    with open_container(server.url("long")) as container:
        assert container.source.requests == len(server.requests) == 2
        assert container.source.bytes_read == server.sent == container.detail_section[0]  # nothing twice
        assert container.read_parts([(4095, "detail"), (4095, "coarse")]) == [b"d" * 40, b"c" * 9]


def test_a_long_header_and_index_are_two_requests(server: RangeServer, long_index: bytes, monkeypatch) -> None:
    """As though the header were longer than the first request."""
    server.files["long"] = long_index
    monkeypatch.setattr("sarz_format.container.FIRST_READ_BYTES", 100)
    with open_container(server.url("long")) as container:
        assert container.source.requests == len(server.requests) == 2


@pytest.mark.parametrize("mode, cache_bytes", [
    ("ranges", 0), ("ranges", 1 << 20), ("sizeless", 0), ("redirects", 1 << 20),
])  # fmt: skip
def test_every_window_is_the_local_one_in_three_requests(
    mode: str, cache_bytes: int, server: RangeServer, whole: np.ndarray, scattered: None
) -> None:
    server.mode = mode
    rng = np.random.default_rng(1)
    for _ in range(3):
        row, col = (int(rng.integers(length - 20)) for length in SHAPE)
        window = Window(col, row, int(rng.integers(1, SHAPE[1] - col)), int(rng.integers(1, SHAPE[0] - row)))
        with sarz.open(server.url(NAME), cache_bytes=cache_bytes) as src:
            before = src.stats.requests
            rows, cols = window.toslices()
            np.testing.assert_array_equal(src.read(window=window), whole[:, rows, cols])
            assert 1 <= src.stats.requests - before <= 3
    assert len(server.requests) <= 3 * 4 * (2 if mode == "redirects" else 1)


def test_masked_reads_and_masks_take_no_more(server: RangeServer, scattered: None) -> None:
    with sarz.open(server.url(NAME)) as src:
        window = Window(50, 40, 100, 70)
        src.read([1, 2], window=window, masked=True)
        assert src.stats.requests <= 1 + 3
        src.read_masks([1, 2], window=window)
        src.read([1, 2], window=window)
        assert src.stats.requests <= 1 + 3


def test_requests_of_a_window_are_under_way_together(server: RangeServer, scattered: None, monkeypatch) -> None:
    monkeypatch.setattr(ranges, "SMALL_WASTE_BYTES", 0)
    monkeypatch.setattr(ranges, "WASTE_FACTOR", 0)
    with open_container(server.url(NAME)) as container:
        server.forget()
        server.delay = 0.1
        container.read_parts([(number, "detail") for number in range(0, len(container.index), 4)])
        assert len(server.requests) > 3 and server.at_once > 1


def test_windows_of_more_than_is_fetched_ahead_are_read_all_the_same(
    server: RangeServer, whole: np.ndarray, scattered: None, monkeypatch
) -> None:
    monkeypatch.setattr("sarz_format.tiles.AHEAD_BYTES", 1000)
    with sarz.open(server.url(NAME), cache_bytes=0) as src:
        np.testing.assert_array_equal(src.read(), whole)
        assert src.stats.requests > 4


def test_cached_tiles_are_not_fetched_again(server: RangeServer, scattered: None) -> None:
    with sarz.open(server.url(NAME)) as src:
        src.read(window=Window(0, 0, 60, 60))
        before = src.stats
        src.read(window=Window(3, 3, 10, 10))
        assert src.stats.requests == before.requests and src.stats.cache_hits > before.cache_hits


def test_damage_is_named_and_masked(server: RangeServer, scene: Path) -> None:
    data = bytearray(scene.read_bytes())
    data[-1] ^= 1
    server.files[NAME] = bytes(data)
    with sarz.open(server.url(NAME)) as src, pytest.raises(sarz.DamagedTileError, match="tile row 2, column 3"):
        src.read()
    with sarz.open(server.url(NAME), on_damage="mask") as src, pytest.warns(sarz.TileDamageWarning):
        src.read()


# Servers that misbehave


@pytest.mark.parametrize("fault", ["503", "500", "429", "408", "resets", "cuts"])
def test_transient_failures_are_tried_again(fault: str, server: RangeServer, whole: np.ndarray) -> None:
    server.faults = [fault] * 3
    with sarz.open(server.url(NAME)) as src:
        assert len(server.requests) == 4
        server.faults = [fault] * 2
        np.testing.assert_array_equal(src.read(), whole)


@pytest.mark.parametrize("fault", ["stalls", "slow"])
def test_silence_is_tried_again(fault: str, server: RangeServer, impatient: None) -> None:
    if fault == "slow":
        server.delay = 0.4
        with pytest.raises(SarzIOError, match=r"failed 4 times.*did not answer in time.*try again later"):
            open_container(server.url(NAME))
        assert len(server.requests) == 4
    else:
        server.faults = ["stalls"]
        open_container(server.url(NAME)).close()
        assert len(server.requests) == 2


def test_a_slow_server_is_waited_for(server: RangeServer) -> None:
    server.delay = 0.3
    with open_container(server.url(NAME)) as container:
        assert container.source.requests == len(server.requests) == 1


@pytest.mark.parametrize("mode, text", [
    ("503", r"failed 4 times, at last because the server answered status 503.*try again later"),
    ("resets", r"failed 4 times, at last because the connection failed"),
    ("cuts", r"failed 4 times, at last because the connection broke within the answer"),
])  # fmt: skip
def test_what_does_not_pass_is_an_error(mode: str, text: str, server: RangeServer) -> None:
    server.mode = mode
    with pytest.raises(SarzIOError, match=re.escape(server.url(NAME)) + ".*" + text):
        sarz.open(server.url(NAME))
    assert len(server.requests) == retry.ATTEMPTS * (2 if mode == "resets" else 1)  # aiohttp repeats these at once


def test_retry_after_is_obeyed(server: RangeServer, monkeypatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    server.faults, server.retry_after = ["503", "503"], "3"
    open_container(server.url(NAME)).close()
    assert waits == [3.0, 3.0]
    server.faults, server.retry_after = ["503"], "86400"
    open_container(server.url(NAME)).close()
    assert waits[2:] == [retry.LONGEST_WAIT_SECONDS]


@pytest.mark.parametrize("mode, error, text", [
    ("404", SarzFileNotFoundError, r"does not exist on the server \(status 404"),
    ("403", SarzIOError, r"permission denied \(status 403.*credentials"),
    ("401", SarzIOError, r"permission denied \(status 401"),
    ("400", SarzIOError, r"the server answered status 400"),
    ("shifts", SarzIOError, r"the answer holds 'bytes 1-.*download the file first"),
    ("nameless", SarzIOError, r"the answer says nothing of what it holds"),
    ("compresses", SarzIOError, r"compressed \(deflate\)"),
])  # fmt: skip
def test_what_will_not_pass_is_not_tried_again(
    mode: str, error: type[Exception], text: str, server: RangeServer
) -> None:
    server.mode = mode
    with pytest.raises(error, match=text):
        sarz.open(server.url(NAME))
    assert len(server.requests) == 1


@pytest.mark.parametrize("mode", ["ignores", "endless"])
def test_a_small_file_is_taken_whole_from_a_server_without_ranges(
    mode: str, server: RangeServer, whole: np.ndarray
) -> None:
    server.mode = mode
    with sarz.open(server.url(NAME)) as src:
        np.testing.assert_array_equal(src.read(), whole)
        assert len(server.requests) == 1
        assert src.stats.bytes_read == server.sent == len(server.files[NAME])


@pytest.mark.parametrize("mode", ["ignores", "endless"])
def test_a_large_file_of_a_server_without_ranges_is_refused(mode: str, server: RangeServer) -> None:
    server.files[NAME] = large(server.files[NAME]) * 3
    server.mode = mode
    with pytest.raises(SarzIOError, match="ignores requests for ranges.*download it first"):
        sarz.open(server.url(NAME))
    assert len(server.requests) == 1
    assert server.sent < len(server.files[NAME])


def test_ranges_that_end_while_the_file_is_open(server: RangeServer, whole: np.ndarray) -> None:
    """As behind a balancer, one of whose servers has no ranges."""
    with sarz.open(server.url(NAME)) as src:
        server.mode = "ignores"
        np.testing.assert_array_equal(src.read(), whole)


def test_no_connection(monkeypatch) -> None:
    with RangeServer({}) as gone:
        url = gone.url(NAME)
    with pytest.raises(SarzIOError, match="failed 4 times, at last because the connection failed"):
        sarz.open(url)
    with pytest.raises(SarzIOError, match="check the host's name"):
        sarz.open("https://no-such-host.invalid/scene.sarz")


# Files that are cut, or change


@pytest.mark.parametrize("mode", ["ranges", "sizeless"])
@pytest.mark.parametrize("length", [0, 5, 63, 64, 1000, -1])
def test_a_file_that_was_cut(mode: str, length: int, server: RangeServer) -> None:
    server.files[NAME] = server.files[NAME][:length]
    server.mode = mode
    with pytest.raises(TruncatedFileError if length else SarzFormatError):
        sarz.open(server.url(NAME))


def test_a_cut_file_of_unknown_size_is_found_by_reading(server: RangeServer, monkeypatch) -> None:
    monkeypatch.setattr("sarz_format.container.FIRST_READ_BYTES", 4096)
    server.files[NAME] = server.files[NAME][:-2000]
    server.mode = "sizeless"
    with sarz.open(server.url(NAME)) as src:
        src.read(window=Window(0, 0, 2, 2), indexes=1)
        with pytest.raises(TruncatedFileError, match="the file is cut"):
            src.read()


def test_a_file_that_is_replaced(server: RangeServer) -> None:
    data = server.files[NAME]
    with sarz.open(server.url(NAME)) as src:
        server.files[NAME] = data + b"\0"
        with pytest.raises(SarzIOError, match="it was replaced or cut, open it again"):
            src.read()
        server.files[NAME] = data[:-1]
        with pytest.raises(TruncatedFileError, match="it was replaced or cut, open it again"):
            src.read()
        server.files[NAME], server.etag = data, '"second"'
        with pytest.raises(SarzIOError, match="was replaced on the server"):
            src.read()
        server.etag = None
        src.read()


# Names, options, secrets


def test_messages_names_and_pickles_of_reports_show_no_secret(server: RangeServer, tmp_path: Path) -> None:
    url = server.url(NAME).replace("://", f"://me:{SECRET}@") + f"?X-Amz-Signature={SECRET}"
    shown = server.url(NAME) + "?..."
    with sarz.open(url) as src:
        assert src.name == shown and src.files == [shown] and shown in repr(src)
        assert SECRET in server.requests[0].path  # it reaches the server all the same
        assert "Authorization" in server.requests[0].headers
    with open_container(url) as container:
        assert SECRET not in str(sarz.describe(container))
    report = sarz.decompress(url, tmp_path / "a.tif")
    assert report.input == shown
    assert sarz.verify(url).input == shown
    for mode in ("404", "403", "503", "resets", "cuts", "shifts", "ignores"):
        server.mode, server.files[NAME] = mode, large(b"")
        with pytest.raises(SarzError) as caught:
            sarz.open(url)
        printed = "".join(traceback.format_exception(caught.value))
        assert shown in str(caught.value) and SECRET not in printed
    with pytest.raises(SarzError) as caught:
        sarz.open(f"nosuch://me:{SECRET}@host/{NAME}?key={SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_storage_options_reach_the_server(server: RangeServer) -> None:
    options = {"headers": {"X-Key": "7"}, "client_kwargs": {"headers": {"Authorization": f"Bearer {SECRET}"}}}
    with sarz.open(server.url(NAME), storage_options=options):
        assert server.requests[0].headers["X-Key"] == "7" and "Authorization" in server.requests[0].headers
        assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_timeout_of_the_users_own_holds(server: RangeServer) -> None:
    server.delay = 0.4
    options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_read=0.1)}}
    with pytest.raises(SarzIOError, match="did not answer in time"):
        sarz.open(server.url(NAME), storage_options=options)


@pytest.mark.parametrize("source, options, error, text", [
    ("https://a/b.sarz", {"no_such": 1}, SarzOptionError, "storage_options"),
    ("nosuch://a/b.sarz", None, SarzOptionError, "nosuch://a/b.sarz.*fsspec has no file system"),
    ("scene.sarz", {"anon": True}, SarzOptionError, "options of a URL's file system"),
    ("file://elsewhere/b.sarz", None, SarzOptionError, "on the host 'elsewhere'"),
    ("/vsicurl/scene.sarz", None, SarzFileNotFoundError, "does not exist"),
])  # fmt: skip
def test_what_cannot_be_opened(source: str, options: dict[str, Any] | None, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        sarz.open(source, storage_options=options)


def test_missing_packages_say_what_to_install(monkeypatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("HTTPFileSystem requires aiohttp")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'rio-sarcodec[remote]'")):
        sarz.open("https://a/b.sarz")


def test_names_of_gdal(server: RangeServer, whole: np.ndarray) -> None:
    with sarz.open(f"/vsicurl/{server.url(NAME)}") as src:
        assert src.name == server.url(NAME)
        np.testing.assert_array_equal(src.read(1), whole[0])


# Command line


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


def test_commands_take_urls(server: RangeServer, scene: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    url, shown = f"{server.url(NAME)}?key={SECRET}", f"{server.url(NAME)}?..."
    described = json.loads(run("info", url, "--json").stdout)
    assert described == {**json.loads(run("info", scene, "--json").stdout), "name": shown}
    assert shown in run("verify", url).stdout
    assert run("decompress", url, scene, "-o", ".", "--overwrite").exit_code == 2  # both would be scene.tif
    result = run("decompress", url, "--window", "0 0 40 40")
    assert result.exit_code == 0 and SECRET not in result.output and Path("scene.tif").is_file()
    assert run("compare", scene, url, "--json").exit_code == 0


def test_commands_name_urls_without_secrets(server: RangeServer) -> None:
    url, shown = f"{server.url('none.sarz')}?key={SECRET}", f"{server.url('none.sarz')}?..."
    for command in ("info", "verify", "decompress"):
        for name in (url, f"/vsicurl/{url}"):
            result = run(command, name, "--json")
            assert result.exit_code == 1 and SECRET not in result.output
            assert result.stderr == f"Error: {shown} does not exist on the server (status 404 Not Found)\n"


@pytest.mark.parametrize("arguments", [
    ("{scene}.tif", "s3://bucket/a.sarz"), ("{scene}.tif", "-o", "https://host/folder/"),
])  # fmt: skip
def test_outputs_to_urls_are_refused(arguments: tuple[str, ...], scene: Path) -> None:
    result = run("compress", *(argument.format(scene=scene) for argument in arguments))
    assert result.exit_code == 2
    assert f"output {arguments[-1]} is not a local file; write one, and upload it when it is whole" in result.stderr


# Other file systems, and file objects of fsspec


def test_file_urls_are_local(scene: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a b?c#d%20.sarz"
    odd.write_bytes(scene.read_bytes())
    for url in (odd.as_uri(), f"file://localhost{odd.as_uri()[7:]}"):
        with open_source(url) as source:
            assert isinstance(source, FileSource) and Path(source.name) == odd


@pytest.fixture
def in_memory(scene: Path) -> Iterator[str]:
    url = "memory://folder/scene.sarz"
    fsspec.filesystem("memory").pipe_file("/folder/scene.sarz", scene.read_bytes())
    yield url
    fsspec.filesystem("memory").rm("/folder", recursive=True)


def test_any_file_system(in_memory: str, whole: np.ndarray, scattered: None) -> None:
    with sarz.open(in_memory) as src:
        assert src.stats.requests == 1
        np.testing.assert_array_equal(src.read(), whole)
        assert src.stats.requests <= 4
    with pytest.raises(SarzFileNotFoundError, match="memory://none.sarz does not exist"):
        sarz.open("memory://none.sarz")
    with sarz.open(f"simplecache::{in_memory}") as src:
        np.testing.assert_array_equal(src.read(1), whole[0])


def test_any_file_system_within_a_running_loop(in_memory: str, server: RangeServer) -> None:
    """As in a notebook."""
    import asyncio

    async def count() -> list[int]:
        found = []
        for url in (in_memory, server.url(NAME)):
            with sarz.open(url) as src:
                found.append(src.count)
        return found

    assert asyncio.run(count()) == [3, 3]


def test_open_files_of_fsspec(server: RangeServer, scene: Path, whole: np.ndarray, in_memory: str) -> None:
    url = server.url(NAME)
    opened = fsspec.open(url)
    with sarz.open(opened) as src:
        assert src.stats.requests == len(server.requests) == 1 and src.name == url
        np.testing.assert_array_equal(src.read(), whole)
    with fsspec.filesystem("http").open(url) as file:
        server.forget()
        with sarz.open(file) as src:
            np.testing.assert_array_equal(src.read(), whole)
            assert src.stats.requests == len(server.requests)
        assert not file.closed
    with fsspec.open(scene) as file, sarz.open(file) as src:
        np.testing.assert_array_equal(src.read(1), whole[0])
    with sarz.open(fsspec.open(in_memory)) as src:
        np.testing.assert_array_equal(src.read(1), whole[0])


def test_open_files_that_are_compressed(server: RangeServer, scene: Path, whole: np.ndarray) -> None:
    server.files["scene.sarz.gz"] = gzip.compress(scene.read_bytes())
    opened = fsspec.open(server.url("scene.sarz.gz"), compression="gzip")
    with pytest.raises(SarzOptionError, match="compression='gzip'"):
        sarz.open(opened)
    with opened as file, sarz.open(file) as src:  # a plain file object to us
        np.testing.assert_array_equal(src.read(1), whole[0])


def test_file_systems_for_coroutines_are_refused(server: RangeServer) -> None:
    filesystem = fsspec.filesystem("http", asynchronous=True, skip_instance_cache=True)
    with pytest.raises(SarzOptionError, match="without asynchronous=True"):
        RemoteSource.of_object(filesystem, server.url(NAME))


def test_a_file_systems_own_errors(monkeypatch, in_memory: str) -> None:
    def fail(error: Exception) -> Callable[..., bytes]:
        def cat_file(*_: object, **__: object) -> bytes:
            raise error

        return cat_file

    memory = type(fsspec.filesystem("memory"))
    denied = PermissionError("no"), "permission denied.*anon=True"
    for error, text in (denied, (RuntimeError("odd"), "reading failed: odd")):
        monkeypatch.setattr(memory, "cat_file", fail(error))
        with pytest.raises(SarzIOError, match=text):
            sarz.open(in_memory)


def test_closed(server: RangeServer) -> None:
    source = open_source(server.url(NAME))
    source.head(100)
    source.close()
    for read in (lambda: source.read(0, 1), lambda: source.head(1)):
        with pytest.raises(SarzIOError, match="closed"):
            read()


def test_reads_outside_and_of_nothing(server: RangeServer) -> None:
    with open_source(server.url(NAME)) as source:
        assert source.read(10**6, 0) == b"" and not server.requests
        with pytest.raises(TruncatedFileError, match="the file is cut"):
            source.read(10**6, 5)  # before the size is known
        source.head(10)
        with pytest.raises(TruncatedFileError, match="asked for, but the file has"):
            source.read(10**6, 5)


# Threads and processes


def test_threads(server: RangeServer, whole: np.ndarray) -> None:
    with sarz.open(server.url(NAME), cache_bytes=0) as src, ThreadPoolExecutor(8) as pool:
        server.faults = ["503", "resets", "cuts"]
        rows = [Window(0, row, SHAPE[1], 10) for row in range(0, SHAPE[0] - 10, 15)]
        for window, values in zip(rows, pool.map(lambda window: src.read(2, window=window), rows)):
            np.testing.assert_array_equal(values, whole[1, window.row_off : window.row_off + 10])


def test_pickles(server: RangeServer, whole: np.ndarray, in_memory: str) -> None:
    for url, options in ((server.url(NAME), {"headers": {"X-Key": "7"}}), (in_memory, None)):
        with sarz.open(url, storage_options=options) as src:
            data = pickle.dumps(src)
        with pickle.loads(data) as again:
            np.testing.assert_array_equal(again.read(2), whole[1])
    assert all(request.headers["X-Key"] == "7" for request in server.requests)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes(method: str, server: RangeServer) -> None:
    context = multiprocessing.get_context(method)
    with sarz.open(server.url(NAME)) as src:
        expected = bytes_of_details(src)
        queue = context.SimpleQueue()
        children = [context.Process(target=child, args=(src, queue)) for _ in range(2 if method == "fork" else 1)]
        for process in children:
            process.start()
        found = [queue.get() for _ in children]
        for process in children:
            process.join(30)
        assert {process.exitcode for process in children} == {0}
        assert set(found) == {expected}
        assert bytes_of_details(src) == expected  # the parent's connections still work


FORK = """
import os, sys
sys.path.insert(0, sys.argv[2])
import sarz
from remote_child import bytes_of_details
with sarz.open(sys.argv[1]) as src:
    expected = bytes_of_details(src)
    child = os.fork()
    if child == 0:
        sys.exit(0 if bytes_of_details(src) == expected else 1)  # with everything that Python does at its end
    assert os.waitpid(child, 0)[1] == 0
    for _ in range(3):
        assert bytes_of_details(src) == expected
"""


def test_a_forked_child_that_ends_leaves_the_parents_connections(server: RangeServer) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORK, server.url(NAME), str(Path(__file__).parent)],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_streams_are_as_before(scene: Path, whole: np.ndarray) -> None:
    with sarz.open(io.BytesIO(scene.read_bytes())) as src:
        np.testing.assert_array_equal(src.read(), whole)
