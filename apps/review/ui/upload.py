"""Images that a reader brings: taken in, de-identified, and listed for this session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st
from medseg_app import in_use
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from medseg.review.records import Act, Reader
from medseg.review.session_files import Session
from medseg.review.upload_cases import UploadedCase
from medseg.review.uploads import prepare_upload, receive

from . import held_pictures
from .person import reader_or_sign_in
from .place import go_to_case
from .plain import count, link
from .progress import BarProgress
from .trouble import explained
from .visit import visit

_FOLDER = "A folder of DICOM files"
_FILES = "Files or archives"
_TURN, _NOTES = "upload turn", "upload notes"


def show() -> None:
    """Choose files, take them in, and list what they became."""
    reader, desk = reader_or_sign_in(), in_use.desk()
    st.title("Upload", anchor=False)
    st.write(
        "What you upload is de-identified before it is shown, only you see it, and it is removed when you close this "
        "tab. What you decide and draw stays, under a pseudonym."
    )
    session = desk.session(visit().number, reader)
    files = _chosen_files(desk.config.limits.upload_mb)
    if files and st.button("Take them in", type="primary", icon=":material/shield:"):
        with explained():
            _take_in(files, session, reader)
    for note in st.session_state.get(_NOTES, ()):
        st.text(f"• {note}")
    _list(session)
    with explained():
        held_pictures.show(reader)


def _chosen_files(most_mb: int) -> Sequence[UploadedFile]:
    """What was chosen; nothing once it has been taken in."""
    turn = st.session_state.setdefault(_TURN, 0)
    kind = st.segmented_control("What do you have?", [_FOLDER, _FILES], default=_FOLDER, required=True)
    several: Literal["directory"] | bool = "directory" if kind == _FOLDER else True
    found = st.file_uploader(
        kind or _FOLDER,
        accept_multiple_files=several,
        max_upload_size=most_mb,
        key=f"files {kind} {turn}",
        help=f"DICOM, NIfTI, NRRD, PNG, JPEG, TIFF; archives as zip or tar. At most {most_mb} MB.",
    )
    return found if isinstance(found, list) else []


def _take_in(files: Sequence[UploadedFile], session: Session, reader: Reader) -> None:
    desk = in_use.desk()
    st.button("Cancel", icon=":material/close:")
    progress = BarProgress("Receiving …")
    received = receive(session, ((one.name, one) for one in files), desk.config.limits, progress)
    cases = prepare_upload(session, received, desk.config, desk.key, progress)
    for case in cases:
        desk.store.add_case(case.files.record, reader)
        desk.store.log(Act.UPLOADED, reader, case.files.name, {"modality": case.modality, "slices": case.slices})
    _let_go(files)
    st.session_state[_NOTES] = progress.notes
    st.session_state[_TURN] += 1
    st.toast(f"{count(len(cases), 'case', 'cases')} from your upload", icon=":material/check:")
    st.rerun()


def _let_go(files: Sequence[UploadedFile]) -> None:
    """Take files as they came out of memory: Streamlit would keep them there for as long as the tab is open."""
    run = get_script_run_ctx()
    if run is not None and isinstance(run.uploaded_file_mgr, MemoryUploadedFileManager):
        for one in files:
            run.uploaded_file_mgr.remove_file(run.session_id, one.file_id)


def _list(session: Session) -> None:
    cases = [case for upload in session.uploads for case in upload.cases]
    if not cases:
        return
    st.subheader("Your uploads", anchor=False)
    for case in cases:
        _row(case)


def _row(case: UploadedCase) -> None:
    name, kind, size = st.columns((3, 1, 2), vertical_alignment="center")
    label, key = link(case.files.name), f"open {case.files.name}"
    if name.button(label, type="tertiary", key=key, help="Open this case"):
        go_to_case(case.files.name)
    kind.text(case.modality or "image")
    size.text(count(case.slices, "slice", "slices"))
