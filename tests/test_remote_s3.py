"""Objects of an S3-compatible store on loopback, through s3fs: the same requests and errors as over HTTP."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from range_server import RangeServer
from test_container import STATISTICS, three_bands, tiles
from test_container import write as write_container

from sarz_format import ranges
from sarz_format.container import Container, open_container
from sarz_format.errors import SarzFileNotFoundError, SarzIOError, TruncatedFileError
from sarz_format.remote import retry
from sarz_format.source import open_source

pytest.importorskip("s3fs")

URL, KEY = "s3://bucket/folder/scene.sarz", "bucket/folder/scene.sarz"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Iterator[RangeServer]:
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.005)
    path = write_container(tmp_path / "scene.sarz", three_bands(), tiles(12, 1000), STATISTICS)
    with RangeServer({KEY: path.read_bytes()}) as running:
        yield running


def options(store: RangeServer, **more: Any) -> dict[str, Any]:
    return {"endpoint_url": store.address, "anon": True, "skip_instance_cache": True, **more}


def details(container: Container) -> list[Any]:
    return container.read_parts([(number, "detail") for number in range(0, 12, 2)])


@pytest.mark.parametrize("name", [URL, f"/vsis3/{KEY}"])
def test_requests(name: str, store: RangeServer, monkeypatch) -> None:
    monkeypatch.setattr(ranges, "GAP_BYTES", -1)
    with open_container(store.files[KEY]) as local, open_container(name, options(store)) as container:
        assert [request.method for request in store.requests] == ["GET"]
        assert container.source.size == len(store.files[KEY]) and container.source.name == URL
        assert details(container) == details(local)
        assert container.source.requests == len(store.requests) <= 1 + 3
        assert container.source.bytes_read == store.sent


def test_pickles(store: RangeServer) -> None:
    with open_container(URL, options(store)) as container, pickle.loads(pickle.dumps(container.source)) as again:
        assert open_container(again).index.pack() == container.index.pack()


def test_transient_failures_are_tried_again(store: RangeServer) -> None:
    store.faults = ["503", "cuts"]
    with open_container(URL, options(store)):
        assert len(store.requests) == 3


@pytest.mark.parametrize("mode, error, text", [
    ("404", SarzFileNotFoundError, f"{URL} does not exist"),
    ("403", SarzIOError, "permission denied.*anon=True"),
    ("500", SarzIOError, r"the store answered InternalError \(status 500\).*try again later"),
    ("shifts", SarzIOError, "the answer holds 'bytes 1-"),
    ("ignores", SarzIOError, "the store mishandles ranges"),
    ("cuts", SarzIOError, "failed 4 times.*broke within the answer"),
])  # fmt: skip
def test_failures(mode: str, error: type[Exception], text: str, store: RangeServer) -> None:
    store.mode = mode
    with pytest.raises(error, match=text):
        open_container(URL, options(store, config_kwargs={"retries": {"total_max_attempts": 1}}))


def test_objects_that_are_cut_or_replaced(store: RangeServer) -> None:
    data = store.files[KEY]
    with open_container(URL, options(store)) as container:
        store.etag = '"second"'
        with pytest.raises(SarzIOError, match="was replaced"):
            details(container)
        store.files[KEY], store.etag = data[:-1], '"first"'
        with pytest.raises(TruncatedFileError, match="open it again"):
            details(container)
        store.files[KEY] = data[:10]
        with pytest.raises(TruncatedFileError, match="the file is cut"):
            details(container)
    with pytest.raises(TruncatedFileError):
        open_container(URL, options(store))
    with open_source(URL, options(store)) as source, pytest.raises(TruncatedFileError, match="the file is cut"):
        source.read(50, 10)
