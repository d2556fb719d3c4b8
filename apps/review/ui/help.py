"""Keys, and what is kept of whom."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from medseg_app import in_use

from medseg.review.records import Verdict

from .decide_panel import KEYS
from .person import reader_or_sign_in
from .plain import plain

_PAGE_KEYS: Mapping[str, str] = {
    KEYS[Verdict.ACCEPTED]: "Accept the version on the screen",
    KEYS[Verdict.NEEDS_WORK]: "It needs work",
    KEYS[Verdict.REJECTED]: "Reject it",
    "Alt+N": "Next open case",
    "Alt+P": "Previous case",
    "Alt+J": "Next difference, next uncertain slice",
    "Alt+K": "Back",
    "O": "Open the first case (on the work list)",
}
_LOOK_KEYS: Mapping[str, str] = {
    "Wheel, ↑ ↓": "One slice on or back",
    "Page up, Page down": "Ten slices",
    "Home, End": "First slice, last slice",
    "H or Space, held": "Hide all structures",
    "F": "Fill or outline",
    ", and .": "Structures fainter, stronger",
    "1 to 9": "Choose a structure and go to it",
    "Shift+1 to Shift+5": "Window: soft tissue, lung, liver, bone, brain",
    "Right button, dragged": "Window by hand",
    "V": "Next view",
    "M": "Caliper",
    "K": "Play through the slices",
    "X": "Crosshair",
    "0": "Whole image, first window",
    "?": "All keys of the viewer",
}
_DRAW_KEYS: Mapping[str, str] = {
    "B": "Paint; hold Ctrl to erase",
    "E": "Erase",
    "P": "Polygon",
    "O": "Ellipse",
    "G": "Grow from a click",
    "I": "Fill between two slices",
    "L": "Point for a refinement (with the panel Refine)",
    "[ and ]": "Smaller, larger brush",
    "U": "Protect the other structures",
    "Ctrl+Z, Ctrl+Y": "Undo, redo",
    "Ctrl+S": "Save as a new version",
    "Esc": "Back to moving",
}


def show() -> None:
    """Three tables of keys, and what is kept."""
    reader_or_sign_in()
    st.title("Help", anchor=False)
    page, look, draw = st.columns(3, gap="large")
    with page:
        _table("Anywhere", _PAGE_KEYS)
    with look:
        _table("Looking, in the viewer", _LOOK_KEYS)
    with draw:
        _table("Drawing, in the viewer", _DRAW_KEYS)
    st.caption(
        "Click into the viewer, or go there with Tab, and its keys work. Right is on the left of axial and "
        "coronal views, as radiologists expect; letters at the edges say so."
    )
    st.subheader("What is kept", anchor=False)
    _kept()


def _table(title: str, keys: Mapping[str, str]) -> None:
    st.subheader(title, anchor=False)
    for key, words in keys.items():
        name, meaning = st.columns((2, 3), vertical_alignment="center")
        name.markdown(f"**{plain(key)}**")
        meaning.text(words)


def _kept() -> None:
    config = in_use.desk().config
    st.markdown(
        "- **Cases go by pseudonyms.** Names, numbers and dates of patients are neither shown nor stored.\n"
        "- **The outlines as they came are kept** and nothing replaces them. What you save is a version of its own.\n"
        "- **Strokes are kept as a draft after each one** and are there again after a crash or a reload, until you "
        "save or discard them.\n"
        "- **Decisions and versions go into a log** with your name, the time, the model and what changed. Whoever "
        "changes the log is found out.\n"
        "- **Uploads are de-identified first**, are seen by you alone, and are removed when you close the tab.\n"
        "- **Nothing leaves this server**: the app fetches nothing from elsewhere."
    )
    if config.show_identifiers:
        st.markdown("- **Admins may look at identifiers** here; each look is in the log.")
