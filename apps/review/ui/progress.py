"""Long work with a bar."""

from __future__ import annotations

import time

import streamlit as st

from .plain import plain

_SOON_S = 0.1


class BarProgress:
    """A ``Progress`` that draws a bar, and keeps the notes of the work.

    Each drawing is a place where Streamlit ends the work if the reader went elsewhere or pressed a button.

    Attributes:
        notes: What the reader should know.
    """

    def __init__(self, words: str) -> None:
        """Show an empty bar.

        Args:
            words: What begins.
        """
        self.notes: list[str] = []
        self._bar = st.progress(0.0, text=words)
        self._label, self._total, self._done, self._drawn = words, 0, 0, 0.0

    def start(self, label: str, total: int) -> None:
        """A stage of ``total`` steps begins; 0 if nobody knows how many."""
        self._label, self._total, self._done = label[:1].upper() + label[1:], total, 0
        self._draw()

    def advance(self, steps: int = 1) -> None:
        """So many steps are done."""
        self._done += steps
        if time.monotonic() - self._drawn > _SOON_S:
            self._draw()

    def note(self, text: str) -> None:
        """Something that the reader should know."""
        self.notes.append(text)

    def finish(self) -> None:
        """The work is over."""
        self._bar.empty()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        share = min(1.0, self._done / self._total) if self._total else 0.0
        count = f" {self._done}" if self._done and not self._total else ""
        self._bar.progress(share, text=f"{plain(self._label)}{count} …")
