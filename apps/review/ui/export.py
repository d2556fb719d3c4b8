"""What came of all reviews: a data set to train on, and how far readers agree."""

from __future__ import annotations

import time

import streamlit as st
from medseg_app import in_use

from medseg.review.access import Deed, may
from medseg.review.agreement import Kappa, verdict_agreement
from medseg.review.export import EXPORTS
from medseg.review.records import Reader
from medseg.review.training_set import write_training_set
from medseg.review.worklist import counts

from .person import reader_or_sign_in
from .plain import count
from .progress import BarProgress
from .status import STATUS
from .trouble import explained

_DONE = "training set"


def show() -> None:
    """Where the cases stand, the training set, and the agreement of readers."""
    reader, desk = reader_or_sign_in(), in_use.desk()
    st.title("Results", anchor=False)
    items = desk.work(reader)
    with st.container(horizontal=True, gap="large"):
        for status, number in counts(items).items():
            st.metric(STATUS[status].word, number)
    if not may(reader, Deed.EXPORT, desk.config):
        st.info("Data sets are exported by senior readers.", icon=":material/lock:")
        return
    left, right = st.columns(2, gap="large")
    with left, explained():
        _training_set(reader)
    with right, explained():
        _agreement()


def _training_set(reader: Reader) -> None:
    desk = in_use.desk()
    st.subheader("A data set to train on", anchor=False)
    st.write(
        "Images and outlines of all accepted cases, under pseudonyms, as `medseg plan` and `medseg train` take them. "
        "Cases on which readers differ, or that need work, are left out."
    )
    if st.button("Write the data set", type="primary", icon=":material/dataset:"):
        name = time.strftime("training-%Y%m%d-%H%M%S")
        progress = BarProgress("Reading cases …")
        cases = desk.cases(reader)
        st.session_state[_DONE] = write_training_set(desk, cases, desk.config.folder / EXPORTS / name, reader, progress)
    done = st.session_state.get(_DONE)
    if done is not None:
        place = f"{EXPORTS}/{done.manifest.parent.name}"
        st.success(f"Written to {place} of the review folder, {count(len(done.cases), 'case', 'cases')}.")
        st.code(f"medseg plan {place}/{done.manifest.name} -o run.yaml", language="shell")
    if done is not None and done.left_out:
        rows = [{"Case": name, "Left out because": why} for name, why in done.left_out.items()]
        st.dataframe(rows, hide_index=True, alt="Cases that were left out")


def _agreement() -> None:
    st.subheader("How far readers agree", anchor=False)
    found = verdict_agreement(in_use.desk().store.decisions())
    if not found.pairs:
        st.info("No two readers have decided yet.", icon=":material/groups:")
        return
    st.write("Kappa of their verdicts on the same outlines: 1 is full agreement, 0 is what chance would give.")
    rows = [{"Readers": " and ".join(pair), **_row(kappa)} for pair, kappa in found.pairs.items()]
    if found.raters > 2:
        rows.append({"Readers": f"all, where {found.raters} judged", **_row(found.overall)})
    st.dataframe(rows, hide_index=True, alt="Kappa of each two readers")


def _row(kappa: Kappa) -> dict[str, str]:
    return {
        "Kappa": "-" if kappa.value is None else f"{kappa.value:.2f}",
        "Same verdict": "-" if kappa.observed is None else f"{kappa.observed:.0%}",
        "Outlines": str(kappa.n),
        "Why none": kappa.reason,
    }
