"""What the page tells of the viewer. All of it comes from a browser and is checked before anyone relies on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .scene import Voxel

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_TEXT = 300
_LARGEST = 1 << 31


@dataclass(frozen=True)
class SavedMask:
    """The reader asked to save, and the server keeps the drawing: its number, and the digest that the server gave."""

    sequence: int
    sha256: str


@dataclass(frozen=True)
class Ready:
    """The image is on the screen: after how many milliseconds, and whether the browser draws it itself."""

    ms: int
    webgl2: bool


@dataclass(frozen=True)
class Click:
    """A point marked for a refinement, at a voxel of the original grid."""

    voxel: Voxel
    inside: bool


@dataclass(frozen=True)
class ViewerEvents:
    """What happened in the viewer.

    Attributes:
        saved: In the one run that follows a save.
        clicked: In the one run that follows a click with the tool for points.
        changed: Whether there are strokes that are in no version.
        ready: Once the image is on the screen.
        location: Voxel of the original grid under the crosshair, if the scene asks for it.
        error: One sentence about what does not work; empty if all does.
    """

    saved: SavedMask | None = None
    clicked: Click | None = None
    changed: bool = False
    ready: Ready | None = None
    location: Voxel | None = None
    error: str = ""


def read_events(told: Mapping[str, Any]) -> ViewerEvents:
    """The events among what a browser told; what is not of the right form counts as not said."""
    error = told.get("error")
    return ViewerEvents(
        saved=_saved(told.get("saved")),
        clicked=_click(told.get("clicked")),
        changed=told.get("changed") is True,
        ready=_ready(told.get("ready")),
        location=_voxel(told.get("location")),
        error=error[:_MOST_TEXT] if isinstance(error, str) else "",
    )


def _saved(told: object) -> SavedMask | None:
    match told:
        case {"sequence": int(number), "sha256": str(digest)} if 0 < number < _LARGEST and _SHA256.fullmatch(digest):
            return SavedMask(number, digest)
        case _:
            return None


def _ready(told: object) -> Ready | None:
    match told:
        case {"ms": int() | float() as ms, "webgl2": bool(webgl2)} if 0 <= ms < _LARGEST:
            return Ready(round(ms), webgl2)
        case _:
            return None


def _click(told: object) -> Click | None:
    match told:
        case {"voxel": voxel, "inside": bool(inside)}:
            found = _voxel(voxel)
            return None if found is None else Click(found, inside)
        case _:
            return None


def _voxel(told: object) -> Voxel | None:
    match told:
        case [int(i), int(j), int(k)] if all(type(n) is int and 0 <= n < _LARGEST for n in (i, j, k)):
            return i, j, k
        case _:
            return None
