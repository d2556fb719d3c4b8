"""Outlines corrected by clicks: what is inside, what is not."""

from __future__ import annotations

import streamlit as st
from medseg_viewer import Click, SceneMark

from medseg.review.desk import Seat
from medseg.review.records import Reader

from .place import current_jump
from .plain import count
from .scene import Wishes

_TARGET = "refined structure"


def show(seat: Seat, reader: Reader) -> Wishes:  # noqa: ARG001 - all panels are called alike
    """The viewer has its tool for points as long as this panel is open."""
    sitting, names = seat.sitting, seat.sitting.opened.case.scheme.names
    st.caption(
        "Take the tool Point (L) in the viewer. Click what belongs to the structure and is missing; hold Ctrl and "
        "click what does not belong. The outline follows the image from there, within a few centimetres."
    )
    chosen = sitting.shown.target
    if chosen is None:
        chosen = st.selectbox("Structure", names, key=f"{_TARGET} {sitting.shown.version.case}")
    else:
        st.text(f"Structure: {chosen}; another one is chosen under Versions.")
    st.session_state[_TARGET] = chosen
    clicks = seat.refining.clicks
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Take the last click back", icon=":material/undo:", disabled=not clicks):
            seat.refining.take_back()
            st.rerun()
        st.caption(count(len(clicks), "click", "clicks"))
    marks = tuple(SceneMark(click.voxel, click.belongs) for click in clicks)
    return Wishes(takes_clicks=sitting.may_draw, marks=marks, jump=current_jump())


def follow(seat: Seat, click: Click) -> None:
    """Do what a click in the viewer asks for."""
    with st.spinner("Following the click …"):
        voxels = seat.refining.click(str(st.session_state[_TARGET]), click.voxel, belongs=click.inside)
    if not voxels:
        st.toast("The click changed nothing: the outline is right there already, or the image does not lead on.")
    st.rerun()
