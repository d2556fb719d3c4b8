"""Where a reader is: which case, and where in it."""

from __future__ import annotations

import secrets

import streamlit as st
from medseg_viewer import Jump

from medseg.review.differing import Voxel
from medseg.review.records import CaseName

REVIEW = "views/review.py"
WORK_LIST = "views/work_list.py"
_CASE, _JUMP = "case", "jump"


def go_to_case(name: CaseName) -> None:
    """Show a case on the review page, with its name in the address, so that a reload finds it again."""
    remember(name)
    st.switch_page(REVIEW, query_params={_CASE: name})


def current_case() -> CaseName | None:
    """The case of the page's address, else the one that was looked at last."""
    named = st.query_params.get(_CASE) or st.session_state.get(_CASE)
    return CaseName(named) if named else None


def remember(name: CaseName) -> None:
    """Keep the name of the case that is looked at; a wish to go somewhere in another case is forgotten."""
    if st.session_state.get(_CASE) != name:
        st.session_state.pop(_JUMP, None)
    st.session_state[_CASE] = name
    if st.query_params.get(_CASE) not in (None, name):
        st.query_params[_CASE] = name


def jump_to(voxel: Voxel) -> None:
    """Let the viewer go to a voxel in this run."""
    st.session_state[_JUMP] = Jump(voxel, secrets.token_hex(4))


def current_jump() -> Jump | None:
    """Where the viewer is to go; it goes there once."""
    return st.session_state.get(_JUMP)
