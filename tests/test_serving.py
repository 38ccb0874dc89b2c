"""`rio sarcodec serve`: the bytes of virtual GeoTIFFs over HTTP, and nothing else."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import sarz
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from sarz_format.container import open_container
from sarz_format.serving import Server, Site, handler
from sarz_format.serving.byte_ranges import UnsatisfiableError, requested_ranges
from sarz_format.virtual_tiff import VirtualTiff

DATA = Path(__file__).parent / "data"
HARVEY = DATA / "harvey_grd.tif"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are to be served, and others that are not, beside one that is nobody's business."""
    top = tmp_path_factory.mktemp("serving")
    sarz.compress(HARVEY, top / "secret.sarz", tile_size=128)
    served = top / "served"
    (served / "north pole").mkdir(parents=True)
    (served / ".hidden").mkdir()
    for place in ("scene.sarz", "north pole/b.sarz", ".hidden/c.sarz", ".d.sarz"):
        shutil.copy(top / "secret.sarz", served / place)
    (served / "notes.txt").write_text("no")
    (served / "link.sarz").symlink_to(top / "secret.sarz")
    (served / "inner.sarz").symlink_to(served / "scene.sarz")
    (served / "unhidden.sarz").symlink_to(served / ".hidden" / "c.sarz")
    return served


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with running(Server(Site(folder), port=0)) as server:
        yield server


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """Of a server in a process of its own: GDAL must not wait for itself."""
    with command(folder, "--quiet") as process:
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


def command(folder: Path, *options: str) -> subprocess.Popen[str]:
    rio = Path(sys.executable).parent / "rio"
    return subprocess.Popen([rio, "sarcodec", "serve", str(folder), "--port", "0", *options], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


class running:
    """A server in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self.server, self.thread = server, threading.Thread(target=server.serve_forever)

    def __enter__(self) -> Server:
        self.thread.start()
        return self.server

    def __exit__(self, *exc_info: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_list_names_what_is_served(server: Server) -> None:
    status, headers, body = ask(server, "/")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == ["/inner.tif", "/north%20pole/b.tif", "/scene.tif"]
    assert server.urls() == [server.url + path for path in json.loads(body)]


@pytest.mark.parametrize("path", [
    "/secret.tif", "/../secret.tif", "/%2e%2e/secret.tif", "/..%2fsecret.tif", "/north%20pole/../../secret.tif", "//secret.tif",
    "/link.tif", "/unhidden.tif", "/.hidden/c.tif", "/.d.tif", "/notes.txt", "/scene.sarz", "/scene.tif/", "/scene", "/%00.tif", "/..\\secret.tif",
    "/scene.tif.aux.xml", "/scene.tif.ovr", "/scene.tif.msk", "/north%20pole", "/etc/passwd", "/%ff.tif",
])  # fmt: skip
def test_nothing_else_is_there(server: Server, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404 and b"nothing is served there" in body


def test_absolute_paths_are_not_followed(server: Server, folder: Path) -> None:
    for path in (folder.parent / "secret.tif", folder / "scene.tif"):
        assert ask(server, "/" + str(path))[0] == ask(server, str(path))[0] == 404


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ranges_are_those_of_the_file(server: Server, folder: Path, data: st.DataObject) -> None:
    with sarz.open(folder / "scene.sarz") as dataset:
        tiff = VirtualTiff(dataset)
        kind = data.draw(st.sampled_from(["both", "open", "suffix"]))
        first = data.draw(st.integers(0, tiff.size - 1))
        last = data.draw(st.integers(first, min(tiff.size + 10, first + 70_000)))
        if kind == "both":
            text, offset, length = f"{first}-{last}", first, min(last + 1, tiff.size) - first
        elif kind == "open":
            offset, length = max(first, tiff.size - 50_000), tiff.size - max(first, tiff.size - 50_000)
            text = f"{offset}-"
        else:
            length = data.draw(st.integers(1, 50_000))
            text, offset = f"-{length}", tiff.size - length
        status, headers, body = ask(server, "/scene.tif", Range=f"bytes={text}")
        assert status == 206 and headers["content-range"] == f"bytes {offset}-{offset + length - 1}/{tiff.size}"
        assert body == tiff.read(offset, length)


def test_the_whole_file_and_its_head(server: Server, folder: Path) -> None:
    with sarz.open(folder / "scene.sarz") as dataset:
        tiff = VirtualTiff(dataset)
        status, headers, body = ask(server, "/scene.tif")
        assert (status, body) == (200, tiff.read(0, tiff.size))
        assert headers["accept-ranges"] == "bytes" and headers["content-type"].startswith("image/tiff")
        status, head, body = ask(server, "/scene.tif", "HEAD")
        assert (status, body, head["content-length"]) == (200, b"", str(tiff.size))
        assert head["etag"] == headers["etag"] and head["last-modified"] == headers["last-modified"]


def test_several_ranges_come_as_parts(server: Server, folder: Path) -> None:
    with sarz.open(folder / "scene.sarz") as dataset:
        tiff = VirtualTiff(dataset)
        status, headers, body = ask(server, "/scene.tif", Range="bytes=0-9,100-109")
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        parts = body.split(b"--" + boundary)
        assert status == 206 and len(parts) == 4
        assert parts[1].endswith(tiff.read(0, 10) + b"\r\n") and parts[2].endswith(tiff.read(100, 10) + b"\r\n")
        assert f"bytes 100-109/{tiff.size}".encode() in parts[2]


def test_conditions(server: Server) -> None:
    _, headers, _ = ask(server, "/scene.tif", "HEAD")
    assert ask(server, "/scene.tif", If_None_Match=headers["etag"])[0] == 304
    assert ask(server, "/scene.tif", If_None_Match="*")[0] == 304
    assert ask(server, "/scene.tif", If_None_Match=f'"another", W/{headers["etag"]}')[0] == 304
    assert ask(server, "/scene.tif", If_Modified_Since=headers["last-modified"])[0] == 304
    assert ask(server, "/scene.tif", "HEAD", If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT")[0] == 200
    assert ask(server, "/scene.tif", "HEAD", If_Modified_Since="yesterday")[0] == 200
    assert ask(server, "/scene.tif", Range="bytes=0-9", If_Range=headers["etag"])[0] == 206
    assert ask(server, "/scene.tif", Range="bytes=0-9", If_Range='"another"')[0] == 200
    assert ask(server, "/scene.tif", "HEAD", Range="bytes=0-9")[0] == 200
    status, headers, _ = ask(server, "/scene.tif", Range="bytes=99999999-")
    assert status == 416 and headers["content-range"].startswith("bytes */")
    assert ask(server, "/scene.tif", "HEAD", Range="lines=1-2")[0] == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        status, headers, _ = ask(server, "/scene.tif", method)
        assert (status, headers["allow"], headers["connection"]) == (405, "GET, HEAD, OPTIONS", "close")


def test_a_body_is_no_request(server: Server) -> None:
    inner = b"GET /scene.tif HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(server.server_address[:2], timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        assert client.makefile("rb").read().count(b"HTTP/1.1 ") == 1


def test_small_answers_come_at_once(server: Server) -> None:
    """Without waiting for the client's delayed acknowledgement, 40 ms."""
    connection, seconds = http.client.HTTPConnection(*server.server_address[:2], timeout=30), []
    for _ in range(15):
        begun = time.perf_counter()
        connection.request("GET", "/scene.tif", headers={"Range": "bytes=0-99"})
        connection.getresponse().read()
        seconds.append(time.perf_counter() - begun)
    connection.close()
    assert sorted(seconds)[7] < 0.03


def test_slow_clients_are_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.Handler, "timeout", 0.5)
    with running(Server(Site(folder), port=0)) as server, socket.socket() as client:
        expected = len(ask(server, "/scene.tif")[2])
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)  # of connections to come
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        client.connect(server.server_address[:2])
        client.settimeout(30)
        client.sendall(b"GET /scene.tif HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received, begun = 0, time.monotonic()
        while received < expected and (data := client.recv(64 << 10)):
            received += len(data)
            time.sleep(0.02)
        assert received >= expected and time.monotonic() - begun > 0.5


def test_names_need_not_be_utf8(tmp_path: Path, folder: Path) -> None:
    shutil.copy(folder / "scene.sarz", os.fsencode(tmp_path) + b"/caf\xe9 \xe2\x82\xac.sarz")
    with running(Server(Site(tmp_path), port=0)) as server:
        (path,) = json.loads(ask(server, "/")[2])
        assert path == "/caf%E9%20%E2%82%AC.tif" and ask(server, path, Range="bytes=0-9")[0] == 206


@pytest.mark.parametrize(("header", "expected"), [
    (None, None), ("bytes=0-0", [(0, 1)]), ("bytes=-3", [(97, 3)]), ("bytes=90-", [(90, 10)]), ("bytes=95-500", [(95, 5)]),
    ("bytes=-500", [(0, 100)]), ("Bytes = 1-2 , 4-5", [(1, 2), (4, 2)]), ("bytes=5-4", None), ("bytes=-", None),
    ("bytes=a-b", None), ("bytes=1-2,x", None), ("items=0-1", None), ("bytes=0-1,200-", [(0, 2)]), ("bytes=", None),
])  # fmt: skip
def test_range_headers(header: str | None, expected: list[tuple[int, int]] | None) -> None:
    assert requested_ranges(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=200-300", "bytes=" + ",".join(["0-1"] * 65)])
def test_ranges_that_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        requested_ranges(header, 100)


def test_rasterio_reads_windows_and_overviews_from_many_threads(url: str, folder: Path) -> None:
    with sarz.open(folder / "scene.sarz") as native:
        expected = native.read()
        small = native.read_overview(2)

    def read(number: int) -> bool:
        window = Window(37 * number, 29 * number, 90, 110)
        with rasterio.open(f"/vsicurl/{url}/scene.tif") as src:
            assert src.gcps[0] and src.overviews(1) == [2]
            return np.array_equal(src.read(window=window), expected[(slice(None), *window.toslices())])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    with rasterio.open(f"/vsicurl/{url}/north%20pole/b.tif", overview_level=0) as src:
        assert (src.read() == small).all()


def test_damage_is_an_error_with_the_tile_named(tmp_path: Path, folder: Path) -> None:
    data = bytearray((folder / "scene.sarz").read_bytes())
    with open_container(folder / "scene.sarz") as container:
        data[container.index.entry(3, 3, 0).detail_offset + 9] ^= 1
    (tmp_path / "damaged.sarz").write_bytes(data)
    (tmp_path / "broken.sarz").write_bytes(data[:3000])
    with running(Server(Site(tmp_path), port=0)) as server:
        size = int(ask(server, "/damaged.tif", "HEAD")[1]["content-length"])
        status, _, body = ask(server, "/damaged.tif", Range=f"bytes={size - 100}-")
        assert status == 500 and b"tile row 3, column 3" in body
        status, _, body = ask(server, "/broken.tif")
        assert status == 500 and body.startswith(b"/broken.tif") and str(tmp_path).encode() not in body


def test_a_file_that_changes_is_another_one(tmp_path: Path) -> None:
    sarz.compress(HARVEY, tmp_path / "a.sarz")
    with running(Server(Site(tmp_path / "a.sarz"), port=0)) as server:
        assert server.urls() == [server.url + "/a.tif"]
        before = ask(server, "/a.tif", "HEAD")[1]
        sarz.compress(HARVEY, tmp_path / "a.sarz", indexes=1, overwrite=True)
        after = ask(server, "/a.tif", "HEAD")[1]
        assert before["etag"] != after["etag"] and int(after["content-length"]) < int(before["content-length"])
        assert ask(server, "/a.tif", "HEAD", If_None_Match=before["etag"])[0] == 200


def test_browsers_only_where_allowed(server: Server, folder: Path) -> None:
    assert "access-control-allow-origin" not in ask(server, "/scene.tif", "HEAD")[1]
    with running(Server(Site(folder), port=0, origin="https://maps.example")) as other:
        status, headers, _ = ask(other, "/scene.tif", "OPTIONS")
        assert (status, headers["access-control-allow-origin"]) == (204, "https://maps.example")


def test_what_cannot_be_served(tmp_path: Path, server: Server) -> None:
    with pytest.raises(sarz.SarzFileNotFoundError, match=r"expected a \.sarz file or a folder"):
        Site(tmp_path / "nothing")
    with pytest.raises(sarz.SarzIOError, match=r"ends in \.sarz"):
        Site(HARVEY)
    (tmp_path / "no.sarz").write_bytes(b"II*" + bytes(100))
    with pytest.raises(sarz.SarzFormatError):
        Site(tmp_path / "no.sarz")
    with pytest.raises(sarz.SarzIOError, match="cannot listen"):
        Server(Site(tmp_path), port=server.server_address[1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_until_it_is_stopped(folder: Path, how: signal.Signals) -> None:
    with command(folder) as process:
        said = json.loads(process.stdout.readline())
        with rasterio.open("/vsicurl/" + said["files"][-1]) as src:
            assert src.count == 2
        process.send_signal(how)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0 and "GET /scene.tif" in log and "Traceback" not in log


@pytest.mark.skipif(shutil.which("gdalwarp") is None, reason="GDAL's command line tools are not installed")
def test_gdals_tools_read_it(url: str, folder: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GDAL_", "PROJ_"))}

    def run(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=120).stdout

    info = json.loads(run("gdalinfo", "-json", f"/vsicurl/{url}/scene.tif"))
    assert info["size"] == [512, 512] and len(info["gcps"]["gcpList"]) == 210
    run("gdal_translate", "-q", "-srcwin", "100", "200", "64", "32", f"/vsicurl/{url}/scene.tif", str(tmp_path / "part.tif"))
    run("gdalwarp", "-q", "-ts", "100", "0", f"/vsicurl/{url}/scene.tif", str(tmp_path / "warped.tif"))
    with sarz.open(folder / "scene.sarz") as native, rasterio.open(tmp_path / "part.tif") as part:
        assert (part.read() == native.read(window=Window(100, 200, 64, 32))).all()
    with rasterio.open(tmp_path / "warped.tif") as warped:
        assert warped.width == 100 and warped.read().any()
