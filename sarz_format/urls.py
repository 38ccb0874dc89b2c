"""Names of files elsewhere: what is a URL, what GDAL's names of remote files are as URLs, and URLs without secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import SarzOptionError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^/]*)?://")  # two letters at least: C:// is a drive

_OF_GDAL = {"/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://", "/vsicurl/": ""}
"""GDAL's prefixes, and the schemes by which fsspec knows the same."""


def is_url(name: str) -> bool:
    """Whether `name` is a URL, also one that is chained as fsspec does it (``simplecache::https://...``)."""
    return _SCHEME.match(name) is not None


def as_url(name: str) -> str:
    """The URLs of GDAL's ``/vsicurl/https://...``, ``/vsis3/...``, ``/vsigs/...`` and ``/vsiaz/...``; others as is."""
    for prefix, scheme in _OF_GDAL.items():
        if name.startswith(prefix) and (scheme or is_url(name[len(prefix) :])):
            return scheme + name[len(prefix) :]
    return name


def local_path(url: str) -> str | None:
    """The path of a ``file://`` URL, with its percent-encoding undone (RFC 8089); None of any other.

    Raises
    ------
    SarzOptionError
        If the URL names another host.
    """
    if not url.lower().startswith("file://"):
        return None
    parts = urlsplit(url.replace("?", "%3F").replace("#", "%23"))  # in a file's name they are nothing special
    if parts.netloc not in ("", "localhost"):
        raise SarzOptionError(f"{url} is a file on the host {parts.netloc!r}; a local one is file:///{parts.path[1:]}")
    return url2pathname(parts.path)


def public_name(url: str) -> str:
    """A URL for messages and reports: without user, password, query and fragment, any of which may hold a secret."""
    return "::".join(_public_link(link) for link in url.split("::"))


def _public_link(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    bare = re.split(r"[?#]", shown, maxsplit=1)[0]
    return bare if bare == shown else f"{bare}?..."


def without_secrets(text: str, url: str) -> str:
    """`text` with the URL, and what `public_name` leaves out of it, taken out wherever they stand."""
    text = text.replace(url, public_name(url))
    for link in url.split("::"):
        for secret in re.findall(r"://([^/?#]+)@|[?#](.+)", link):
            for part in filter(None, secret):
                text = text.replace(part, "...")
    return text
