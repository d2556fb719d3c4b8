"""Where the model was unsure: a heat map over the image, and the slices to look at first."""

from __future__ import annotations

import streamlit as st

from medseg.review.desk import Seat
from medseg.review.laid_over import Doubt
from medseg.review.records import Reader

from .place import current_jump, jump_to
from .plain import count
from .scene import Wishes


def show(seat: Seat, reader: Reader) -> Wishes:  # noqa: ARG001 - all panels are called alike
    """The map lies over the image as long as this panel is open."""
    with st.spinner("Reading the map …"):
        doubt = seat.over.doubt()
    if doubt is None:
        st.info(
            "The model left no map of its uncertainty for this case; `medseg predict --entropy` keeps one.",
            icon=":material/question_mark:",
        )
        return Wishes(jump=current_jump())
    st.caption("How unsure the model was, voxel by voxel. It says nothing of errors that the model is sure about.")
    _slices(seat, doubt)
    rows = [
        {"Structure": name, "Mean": "-" if mean is None else f"{mean:.3f}"}
        for name, mean in sorted(doubt.means.items(), key=lambda one: -(one[1] or 0.0))
    ]
    st.dataframe(rows, hide_index=True, row_height=28, alt="Mean uncertainty of each structure")
    return Wishes(doubt=doubt, jump=current_jump())


def _slices(seat: Seat, doubt: Doubt) -> None:
    slices = doubt.slices
    if not slices:
        st.success("The model was sure everywhere.", icon=":material/check:")
        return
    key = f"uncertain {seat.sitting.shown.version.case}"
    at = st.session_state.get(key, -1)
    with st.container(horizontal=True):
        on = st.button("Next", disabled=at + 1 >= len(slices), shortcut="Alt+J", type="primary", help="The next slice")
        back = st.button("Back", disabled=at <= 0, shortcut="Alt+K", help="The slice before")
    if on or back:
        at += 1 if on else -1
        st.session_state[key] = at
        jump_to(slices[at].voxel)
        st.rerun()
    if at >= 0:
        st.caption(f"Slice {at + 1} of {len(slices)}, the most uncertain first")
    else:
        st.caption(f"{count(len(slices), 'slice', 'slices')} to look at, the most uncertain first")
