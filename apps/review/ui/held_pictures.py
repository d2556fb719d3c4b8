"""Pictures that may show text: shown blanked, until somebody with the right decides about them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from medseg_app import in_use

from medseg.deid.boxes import Box
from medseg.review.access import Deed, may
from medseg.review.records import Reader
from medseg.review.text_review import (
    TextCase,
    blank,
    blanked_picture,
    drop,
    release,
    suspected_boxes,
    text_cases,
    whole_picture,
)

from .plain import count, plain
from .progress import BarProgress
from .trouble import explained

_SIDES = ("top", "left", "bottom", "right")


def show(reader: Reader) -> None:
    """What waits for a decision, if anything does."""
    desk = in_use.desk()
    waiting = text_cases(desk.uploads, reader, desk.config)
    if not waiting:
        return
    decides = may(reader, Deed.RELEASE_TEXT, desk.config)
    st.subheader("Held back: these pictures may show text", anchor=False)
    if not decides:
        st.write("They are shown blanked. A senior reader can look at them and let them through.")
    for case in waiting:
        with st.container(border=True, key=f"held {case.name}"), explained():
            _case(case, reader, decides=decides)


def _case(case: TextCase, reader: Reader, *, decides: bool) -> None:
    desk = in_use.desk()
    st.text(f"{case.name}, {case.modality or 'image'}, {count(case.pictures, 'picture', 'pictures')}")
    st.text(f"{case.reason[:1].upper()}{case.reason[1:]}.")
    index = 0
    if case.pictures > 1:
        index = st.slider("Picture", 1, case.pictures, key=f"picture {case.name}") - 1
    seen = f"seen {case.name}"
    if st.session_state.get(seen) and decides:
        st.image(_looked_at(case.name, index, case, reader), alt="The picture as it is")
        _decide(case, index, reader)
        return
    st.image(blanked_picture(case, index, reader, desk.config), alt="The picture, blanked")
    with st.container(horizontal=True):
        if decides and st.button(
            "Look at it", icon=":material/visibility:", key=f"look {case.name}", help="Each look is in the audit log."
        ):
            st.session_state[seen] = True
            st.rerun()
        _drop_button(case, reader)


@st.cache_resource(scope="session", max_entries=4, show_spinner=False)
def _looked_at(name: str, index: int, _case: TextCase, _reader: Reader) -> bytes:  # noqa: ARG001 - the key
    """A picture as it is; one look is one entry in the log, however often the page runs."""
    desk = in_use.desk()
    return whole_picture(_case, index, _reader, desk.config, desk.store.log)


def _decide(case: TextCase, index: int, reader: Reader) -> None:
    """Boxes to fill, and what to do with all pictures of the series."""
    desk = in_use.desk()
    found = suspected_boxes(case, index, reader, desk.config)
    st.caption("Boxes to fill in every picture, in pixels; add one a line.")
    rows = [dict(zip(_SIDES, (box.top, box.left, box.bottom, box.right), strict=True)) for box in found]
    edited = st.data_editor(
        rows or [dict.fromkeys(_SIDES, 0)],
        num_rows="dynamic",
        key=f"boxes {case.name}",
        column_config={side: st.column_config.NumberColumn(min_value=0, step=1, required=True) for side in _SIDES},
    )
    with st.container(horizontal=True):
        if st.button("Fill the boxes and let through", type="primary", key=f"blank {case.name}"):
            with explained():
                blank(case, _boxes(edited), reader, desk.config, desk.store.log, BarProgress("Cleaning …"))
                st.rerun()
        if st.button("There is no text: let through", key=f"release {case.name}"):
            with explained():
                release(case, reader, desk.config, desk.store.log, BarProgress("Cleaning …"))
                st.rerun()
        _drop_button(case, reader)


def _drop_button(case: TextCase, reader: Reader) -> None:
    desk = in_use.desk()
    if st.button("Remove", icon=":material/delete:", key=f"drop {case.name}"):
        drop(case, reader, desk.config, desk.store.log)
        st.toast(plain(f"{case.name} was removed"))
        st.rerun()


def _boxes(rows: Sequence[dict[str, int]]) -> list[Box]:
    """The boxes of a table; rows that are not filled in are left out."""
    whole = [row for row in rows if all(isinstance(row.get(side), int) for side in _SIDES)]
    return [Box(row["top"], row["left"], row["bottom"], row["right"]) for row in whole]
