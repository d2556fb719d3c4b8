"""The outlines on the screen beside others: a map, a table, and the places where they differ."""

from __future__ import annotations

import math

import streamlit as st

from medseg.review.compare import ComparedTarget, Disagreement
from medseg.review.desk import Seat
from medseg.review.laid_over import Beside, Comparison
from medseg.review.records import Reader

from .place import current_jump, jump_to
from .plain import count, millilitres
from .scene import Wishes

_PLACE = "place"
_FIGURES = {"Dice": 52, "HD95": 52, "ΔmL": 58}


def show(seat: Seat, reader: Reader) -> Wishes:  # noqa: ARG001 - all panels are called alike
    """Choose what to compare with; the map lies over the image as long as this panel is open."""
    choices = seat.over.choices()
    if not choices:
        st.info("There is nothing to compare with: no reference, and no other version.", icon=":material/compare:")
        return Wishes(jump=current_jump())
    beside = st.selectbox("Compare with", choices, format_func=lambda one: one.words)
    with st.spinner("Comparing …"):
        comparison = seat.over.comparison(beside)
    _places(comparison, beside)
    st.dataframe(
        [_row(row) for row in comparison.rows],
        hide_index=True,
        row_height=28,
        column_config={
            name: st.column_config.TextColumn(alignment="right", width=width) for name, width in _FIGURES.items()
        },
        alt="Scores of each structure",
    )
    return Wishes(comparison=comparison, jump=current_jump())


def _row(row: ComparedTarget) -> dict[str, str]:
    figures = (_number(row["dice"], 3), _number(row["hd95_mm"], 1), _difference(row["difference_ml"]))
    return {"Structure": row["target"], **dict(zip(_FIGURES, figures, strict=True)), "Found": row["status"]}


def _difference(ml: float | None) -> str:
    """How much larger the outlines on the screen are."""
    if ml is None or math.isnan(ml):
        return "-"
    return f"{'+' if ml > 0 else '-' if ml < 0 else ''}{millilitres(abs(ml))}"


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "-"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _places(comparison: Comparison, beside: Beside) -> None:
    """A button that goes from one difference to the next, the largest first."""
    places = comparison.places
    if not places:
        st.success(f"No difference to the {beside.words}.", icon=":material/check:")
        return
    key = f"{_PLACE} {comparison.identity}"
    at = st.session_state.get(key, -1)
    with st.container(horizontal=True):
        on = st.button(
            "Next", disabled=at + 1 >= len(places), shortcut="Alt+J", type="primary", help="The next difference"
        )
        back = st.button("Back", disabled=at <= 0, shortcut="Alt+K", help="The difference before")
    if on or back:
        at += 1 if on else -1
        st.session_state[key] = at
        jump_to(places[at].voxel)
        st.rerun()
    if at >= 0:
        st.text(f"{at + 1} of {len(places)}: {_words(places[at], comparison)}")
    else:
        st.caption(f"{count(len(places), 'difference', 'differences')}, the largest first")


def _words(place: Disagreement, comparison: Comparison) -> str:
    side = next(entry.words for entry in comparison.legend if entry.value == place.kind)
    size = f"{place.voxels} pixels" if place.ml is None else f"{millilitres(place.ml)} mL"
    return f"{place.target}, {side}, {size}"
