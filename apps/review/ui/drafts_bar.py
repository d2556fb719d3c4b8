"""What there is to know about strokes that are in no version, above the viewer."""

from __future__ import annotations

import streamlit as st

from medseg.review.desk import Seat
from medseg.review.records import Version
from medseg.review.sitting import Sitting

from .plain import moment


def show(seat: Seat) -> None:
    """Tell of strokes from before, and let the reader decide about those that do not fit any more."""
    sitting = seat.sitting
    if sitting.is_damaged:
        _line("Your last strokes cannot be read, so nothing can be drawn until they are discarded.", sitting)
    elif sitting.pending is not None:
        made, base = moment(sitting.pending.made), sitting.pending.base
        _line(
            f"Strokes of {made} on version {base} are in no version yet; decide about them before you draw.",
            sitting,
            take_up=f"Show them on version {base}",
        )
    elif sitting.is_restored:
        _line("Your strokes that were not saved are back.", sitting, can_save=True)


def tell_saved(version: Version) -> None:
    """Say that strokes are in a version now; the message stays over the next run of the page."""
    changed = sum(version.changed_ml.values())
    st.toast(f"Saved as version {version.number}, {changed:.2f} mL changed", icon=":material/save:")


def _line(words: str, sitting: Sitting, take_up: str = "", *, can_save: bool = False) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="drafts"):
        st.markdown(f":material/draw: {words}", width="stretch")
        if take_up and st.button(take_up, type="tertiary"):
            sitting.take_up()
            st.rerun()
        if can_save and st.button("Save them", type="tertiary"):  # the viewer cannot, where it has no WebGL
            tell_saved(sitting.save())
            st.rerun()
        if st.button("Discard them", type="tertiary", help="They are gone then; saved versions stay."):
            sitting.discard()
            st.rerun()
