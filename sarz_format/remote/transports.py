"""The transport that suits a file system, and the loop that it runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Protocol

from fsspec.asyn import sync

from ..errors import SarzOptionError
from .answer import Answer
from .plain import PlainTransport

CONCURRENT = 8
"""Requests under way at once, for one read."""

_of_parents: list[Any] = []
"""File systems that a fork left behind. Collected, they would close sockets that the parent is using."""


class Transport(Protocol):
    """Fetches ranges of one file: `length` bytes at `offset`, fewer at its end."""

    async def fetch(self, offset: int, length: int) -> Answer: ...


class Ranges:
    """Ranges of one file of an fsspec file system, several at once. Safe from several threads, and after a fork."""

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        if getattr(filesystem, "asynchronous", False):
            raise SarzOptionError(f"{name}: its file system is for coroutines; make it without asynchronous=True")
        self.filesystem, self.path, self._name = filesystem, path, name
        self._process = os.getpid()
        self._transport = transport_of(filesystem, path, name)

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> list[Answer]:
        """An answer for each ``(offset, length)``; raises what the first that fails does, once all have ended."""
        self._after_fork()
        if isinstance(self._transport, PlainTransport) and not self.filesystem.async_impl:
            return [self._transport.fetch_blocking(*part) for part in ranges]
        answers = sync(self.filesystem.loop, self._gather, ranges)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    async def _gather(self, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        room = asyncio.Semaphore(CONCURRENT)

        async def one(offset: int, length: int) -> Answer:
            async with room:
                return await self._transport.fetch(offset, length)

        return await asyncio.gather(*(one(*part) for part in ranges), return_exceptions=True)

    def _after_fork(self) -> None:
        """A child process has no copy of fsspec's thread, so it gets file system and connections of its own."""
        if self._process == os.getpid():
            return
        old = self.filesystem
        _of_parents.extend((old, self._transport))
        self.filesystem = type(old)(*old.storage_args, **old.storage_options)
        self._transport = transport_of(self.filesystem, self.path, self._name)
        self._process = os.getpid()


def transport_of(filesystem: Any, path: str, name: str) -> Transport:
    """What knows the answers of this file system best."""
    protocol = filesystem.protocol
    protocols = {protocol} if isinstance(protocol, str) else set(protocol)
    if "https" in protocols and hasattr(filesystem, "set_session"):
        from .http import HttpTransport

        return HttpTransport(filesystem, path, name)
    if "s3" in protocols and hasattr(filesystem, "_call_s3"):
        from .s3 import S3Transport

        return S3Transport(filesystem, path, name)
    return PlainTransport(filesystem, path, name)
