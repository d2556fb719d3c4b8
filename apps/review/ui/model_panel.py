"""A model run on the open case."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from medseg_app import in_use

from medseg.review.access import Deed, may
from medseg.review.desk import Seat
from medseg.review.infer import JobId, JobState, JobStatus, shown_models
from medseg.review.records import Reader

from .place import current_jump
from .plain import plain, sentence
from .scene import Wishes
from .trouble import explained

_JOBS = "jobs"


def show(seat: Seat, reader: Reader) -> Wishes:
    """Choose a model and run it; what it says becomes a version beside the others."""
    desk, name = in_use.desk(), seat.sitting.opened.case.files.name
    job = _jobs().get(name)
    if job is not None:
        _progress(seat, JobId(job), reader)
    elif not desk.config.models:
        st.info("The configuration names no model; bundles are listed under `models`.", icon=":material/neurology:")
    elif not may(reader, Deed.INFER, desk.config):
        st.info("Models are run by senior readers.", icon=":material/lock:")
    else:
        _start(seat, reader)
    return Wishes(jump=current_jump())


def _jobs() -> dict[str, str]:
    """The runs of this tab by case."""
    found: dict[str, str] = st.session_state.setdefault(_JOBS, {})
    return found


def _start(seat: Seat, reader: Reader) -> None:
    desk, files = in_use.desk(), seat.sitting.opened.case.files
    models = _models(desk.config.models)
    st.caption("What the model says becomes a version of its own. What you and others drew stays.")
    chosen = st.selectbox("Model", list(models))
    if chosen and st.button("Run it", icon=":material/play_arrow:", type="primary", width="stretch"):
        _jobs()[files.name] = desk.jobs.start(files, models[chosen], reader)
        st.rerun()


@st.cache_resource(ttl="1m", show_spinner=False)
def _models(folders: tuple[Path, ...]) -> dict[str, Path]:
    return shown_models(folders)


@st.fragment(run_every="1s")
def _progress(seat: Seat, job: JobId, reader: Reader) -> None:
    """How far the run is; looked at every second."""
    with explained():
        state = in_use.desk().jobs.state(job, reader)
        if not state.status.is_over:
            st.progress(state.fraction, text=_words(state))
            if st.button("Cancel", icon=":material/close:", width="stretch"):
                in_use.desk().jobs.cancel(job, reader)
            return
    _end(seat, job, reader)


def _words(state: JobState) -> str:
    if state.status is JobStatus.WAITING:
        return f"Waiting; {state.ahead} before you" if state.ahead else "Waiting"
    return f"{state.stage.capitalize()}, {state.fraction:.0%}"


def _end(seat: Seat, job: JobId, reader: Reader) -> None:
    """Take the result, and say what became of the run."""
    desk, name = in_use.desk(), seat.sitting.opened.case.files.name
    _jobs().pop(name, None)
    with explained():
        state = desk.jobs.state(job, reader)
        desk.jobs.forget(job, reader)
        if state.status is JobStatus.FAILED:
            st.error(sentence(f"the model failed: {state.error}"))
            st.button("Back", key="back to models")
            return
        if state.result is not None:
            words = desk.take_in(seat, state.result)
            st.toast(plain(f"{words[:1].upper()}{words[1:]}."), icon=":material/neurology:")
            if state.result.note:
                st.toast(plain(f"Note: {state.result.note}."), icon=":material/warning:")
        st.rerun()
