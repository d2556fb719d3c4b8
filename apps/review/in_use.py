"""The desk that this process works at: pages are scripts that Streamlit runs anew, and find it here."""

from __future__ import annotations

from dataclasses import dataclass

from medseg.review.desk import Desk


@dataclass
class _Place:
    desk: Desk | None = None
    is_test: bool = False


_PLACE = _Place()


def sit_at(desk: Desk | None, *, is_test: bool = False) -> None:
    """Let pages work at ``desk``; None clears the place.

    Args:
        desk: What they work with.
        is_test: Whether tests may reach into the viewer.
    """
    _PLACE.desk, _PLACE.is_test = desk, is_test


def is_open() -> bool:
    """Whether there is a desk; not while the server stops."""
    return _PLACE.desk is not None


def is_test() -> bool:
    """Whether tests may reach into the viewer."""
    return _PLACE.is_test


def desk() -> Desk:
    """The desk that pages work at."""
    assert _PLACE.desk is not None, "the app is started by `medseg app`, which sets the desk"  # noqa: S101
    return _PLACE.desk
