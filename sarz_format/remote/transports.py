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

_filesystems: list[Any] = []
"""All file systems used so far, each once, as long as the process lives: see `_leave_to_parent`."""

_of_parent: list[Any] = []
"""What a fork has copied of the parent's connections."""


def _leave_to_parent() -> None:
    """In a forked child: never close the connections that it has copies of.

    Closing takes them out of the epoll set that parent and child share, and the parent then waits for answers in vain.
    The file systems' finalizers would close them: on exit, or at once, because fsspec empties its cache after a fork.
    """
    for filesystem in _filesystems:
        session = getattr(filesystem, "_session", None)  # aiohttp's, of an HTTP file system
        if hasattr(session, "detach"):
            _of_parent.append(session.connector)
            session.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


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
        _keep(filesystem)

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
        self.filesystem = type(old)(*old.storage_args, **old.storage_options)
        _keep(self.filesystem)
        self._transport = transport_of(self.filesystem, self.path, self._name)
        self._process = os.getpid()


def _keep(filesystem: Any) -> None:
    if not any(known is filesystem for known in _filesystems):
        _filesystems.append(filesystem)


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
