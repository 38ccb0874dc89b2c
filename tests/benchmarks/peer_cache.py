"""A JSON file of what was measured of the peers, by the raster's digest and the peer's name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from curves import Point
from peer_codecs import Peer


def digest_of(path: Path) -> str:
    """SHA-256 of a raster's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(slots=True)
class PeerCache:
    """Curves known so far; without a path they are forgotten in the end."""

    path: Path | None
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digest to peer to what it was measured with and its points."""

    @classmethod
    def read(cls, path: Path | None) -> PeerCache:
        """What the file holds; empty without one."""
        if path is None or not path.exists():
            return cls(path)
        return cls(path, json.loads(path.read_text(encoding="utf-8")))

    def get(self, digest: str, peer: Peer) -> list[Point] | None:
        """The points of a peer; None if unknown, or measured with another version or other settings."""
        stored = self.images.get(digest, {}).get(peer.name)
        if stored is None or stored["with"] != measured_with(peer):
            return None
        return [Point(*values) for values in stored["points"]]

    def put(self, digest: str, peer: Peer, points: Sequence[Point]) -> None:
        """Keep the points, in the file too."""
        stored = {"with": measured_with(peer), "points": [list(astuple(point)) for point in points]}
        self.images.setdefault(digest, {})[peer.name] = stored
        if self.path is not None:
            self.path.write_text(json.dumps(self.images), encoding="utf-8")


def measured_with(peer: Peer) -> dict[str, Any]:
    """What must be the same for known points to hold."""
    return {"version": peer.version, "settings": list(peer.settings)}
