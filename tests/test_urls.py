"""Names of files elsewhere: URLs, GDAL's names, and what of a URL is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarz_format.errors import SarzOptionError
from sarz_format.output import TemporaryOutput
from sarz_format.urls import as_url, is_url, local_path, public_name, without_secrets


@pytest.mark.parametrize("name, expected", [
    ("https://host/a.sarz", True), ("s3://bucket/key", True), ("file:///a", True), ("memory://a", True),
    ("simplecache::https://host/a", True), ("zip://a.sarz::s3://bucket/b.zip", True), ("abfs+x.y://a", True),
    ("a.sarz", False), ("/data/a.sarz", False), ("C://data/a.sarz", False), ("C:\\data", False), ("a b://c", False),
    ("dir/https://x", False), ("://", False), ("", False), ("/vsicurl/https://host/a", False),
])  # fmt: skip
def test_what_is_a_url(name: str, expected: bool) -> None:
    assert is_url(name) is expected


@pytest.mark.parametrize("name, expected", [
    ("/vsicurl/https://host/a.sarz?b", "https://host/a.sarz?b"), ("/vsis3/bucket/a/b.sarz", "s3://bucket/a/b.sarz"),
    ("/vsigs/bucket/b.sarz", "gs://bucket/b.sarz"), ("/vsiaz/container/b.sarz", "az://container/b.sarz"),
    ("/vsicurl/local.sarz", "/vsicurl/local.sarz"), ("/vsimem/a.sarz", "/vsimem/a.sarz"), ("a.sarz", "a.sarz"),
    ("https://host/vsis3/a", "https://host/vsis3/a"),
])  # fmt: skip
def test_names_of_gdal(name: str, expected: str) -> None:
    assert as_url(name) == expected


@pytest.mark.parametrize("url, expected", [
    ("https://host:8080/a/b.sarz", "https://host:8080/a/b.sarz"),
    ("https://me:pass@host/b.sarz", "https://host/b.sarz"),
    ("https://me@x.org:p@ss@host/a@b.sarz", "https://host/a@b.sarz"),
    ("https://host/b.sarz?X-Amz-Signature=1&x=https://c", "https://host/b.sarz?..."),
    ("https://host/b.sarz#token", "https://host/b.sarz?..."),
    ("https://host?token", "https://host?..."),
    ("simplecache::https://me:pass@host/b.sarz?t=1", "simplecache::https://host/b.sarz?..."),
    ("zip://a.sarz::https://me:pass@host/b.zip?t=1", "zip://a.sarz::https://host/b.zip?..."),
    ("s3://bucket/key", "s3://bucket/key"), ("a?b@c#d.sarz", "a?b@c#d.sarz"),
])  # fmt: skip
def test_public_names(url: str, expected: str) -> None:
    assert public_name(url) == expected
    for secret in ("pass", "p@ss", "1", "token"):
        if secret in url:
            assert secret not in without_secrets(f"failed: {url} ({url.partition('://')[2]})", url)


def test_text_without_secrets_keeps_the_rest() -> None:
    url = "https://me:pass@host/b.sarz?sig=5"
    assert without_secrets(f"500, url='{url}', sig=5, me:pass", url) == "500, url='https://host/b.sarz?...', ..., ..."


def test_file_urls(tmp_path: Path) -> None:
    for name in ("a.sarz", "a b.sarz", "a?b#c%41.sarz", "\u00fc.sarz"):
        assert local_path((tmp_path / name).as_uri()) == str(tmp_path / name)
    assert local_path("file:///a?b#c") == "/a?b#c"
    assert local_path("FILE://localhost/a") == "/a"
    assert local_path("https://a/b") is None
    with pytest.raises(SarzOptionError, match="a local one is file:///b.sarz"):
        local_path("file://a/b.sarz")


def test_outputs_are_local() -> None:
    with pytest.raises(SarzOptionError, match=r"output https://host/a.sarz\?\.\.\. is a URL; write a local file"):
        TemporaryOutput("https://me:pass@host/a.sarz?t=1")
