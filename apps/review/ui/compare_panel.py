"""The outlines on the screen beside others: a map, a table, and the places where they differ."""

from __future__ import annotations

import math

import streamlit as st

from medseg.review.compare import AGREEMENT_COLOURS, ComparedTarget, Disagreement
from medseg.review.desk import Seat
from medseg.review.laid_over import Beside, Comparison
from medseg.review.records import Reader

from .place import current_jump, jump_to
from .plain import millilitres
from .scene import Wishes

_PLACE = "place"


def show(seat: Seat, reader: Reader) -> Wishes:  # noqa: ARG001 - all panels are called alike
    """Choose what to compare with; the map lies over the image as long as this panel is open."""
    choices = seat.over.choices()
    if not choices:
        st.info("There is nothing to compare with: no reference, and no other version.", icon=":material/compare:")
        return Wishes(jump=current_jump())
    beside = st.selectbox("Compare with", choices, format_func=lambda one: one.words)
    with st.spinner("Comparing …"):
        comparison = seat.over.comparison(beside)
    _legend(comparison)
    st.dataframe([_row(row) for row in comparison.rows], hide_index=True, alt="Scores of each structure")
    _places(comparison, beside)
    return Wishes(comparison=comparison, jump=current_jump())


def _legend(comparison: Comparison) -> None:
    for entry in comparison.legend:
        red, green, blue = AGREEMENT_COLOURS[entry.value]
        swatch, words = st.columns((1, 9), vertical_alignment="center", gap="small")
        swatch.html(
            f'<span aria-hidden="true" style="color:rgb({red},{green},{blue});font-size:1.3rem">{entry.symbol}</span>'
        )
        words.text(entry.words)


def _row(row: ComparedTarget) -> dict[str, str]:
    return {
        "Structure": row["target"],
        "Dice": _number(row["dice"], 3),
        "HD95 mm": _number(row["hd95_mm"], 1),
        "mL": millilitres(row["volume_a_ml"]),
        "other mL": millilitres(row["volume_b_ml"]),
        "Found": row["status"],
    }


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
        back = st.button("Back", icon=":material/arrow_upward:", disabled=at <= 0, shortcut="Alt+K")
        on = st.button(
            "Next difference",
            icon=":material/arrow_downward:",
            disabled=at + 1 >= len(places),
            shortcut="Alt+J",
            type="primary",
        )
    if on or back:
        at += 1 if on else -1
        st.session_state[key] = at
        jump_to(places[at].voxel)
        st.rerun()
    if at >= 0:
        st.text(f"{at + 1} of {len(places)}: {_words(places[at], comparison)}")
    else:
        st.caption(f"{len(places)} places, the largest first")


def _words(place: Disagreement, comparison: Comparison) -> str:
    side = next(entry.words for entry in comparison.legend if entry.value == place.kind)
    size = f"{place.voxels} pixels" if place.ml is None else f"{millilitres(place.ml)} mL"
    return f"{place.target}, {side}, {size}"
