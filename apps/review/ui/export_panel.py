"""Export of the version on the screen."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from medseg_app import in_use

from medseg.batch.outputs import ResultForm
from medseg.review.access import Deed, may
from medseg.review.desk import Seat
from medseg.review.export import FORMS, ExportMode, ExportRequest, export_case
from medseg.review.open_case import series_of
from medseg.review.packing import packed
from medseg.review.records import Reader

from .place import current_jump
from .scene import Wishes

_WORDS = {
    ResultForm.SEG: "DICOM SEG",
    ResultForm.SEG_LABELMAP: "DICOM SEG, label map",
    ResultForm.RTSTRUCT: "DICOM RTSTRUCT",
    ResultForm.REPORT: "DICOM report of volumes",
    ResultForm.NIFTI: "NIfTI",
    ResultForm.NRRD: "NRRD (3D Slicer)",
    ResultForm.STL: "Surfaces, STL",
    ResultForm.OBJ: "Surfaces, OBJ",
}
_MODES = {
    ExportMode.RETURN: "for our archive: refers to the original study",
    ExportMode.RELEASE: "for others: refers to the de-identified study",
}
_DONE = "exported"


def show(seat: Seat, reader: Reader) -> Wishes:
    """Choose forms, write them, and take them away."""
    desk, sitting = in_use.desk(), seat.sitting
    if not may(reader, Deed.EXPORT, desk.config):
        st.info("Exports are made by senior readers.", icon=":material/lock:")
        return Wishes(jump=current_jump())
    number = sitting.shown.version.number
    is_dicom = bool(_series_count(sitting.shown.version.case, seat))
    st.caption(f"Version {number} as it was saved, with a report for people. Each export is in the audit log.")
    forms = [form for form in FORMS if is_dicom or not form.is_dicom]
    chosen = st.multiselect(
        "Forms",
        forms,
        default=[ResultForm.SEG, ResultForm.NIFTI] if is_dicom else [ResultForm.NIFTI],
        format_func=lambda form: _WORDS[form],
        help=None if is_dicom else "The image is no DICOM series, so no DICOM object can refer to it.",
    )
    mode = st.radio("Who is it for?", list(ExportMode), format_func=_MODES.__getitem__)
    if st.button("Export", type="primary", icon=":material/download:", width="stretch", disabled=not chosen):
        with st.spinner("Writing, and reading back …"):
            request = ExportRequest(number, tuple(chosen), mode or ExportMode.RETURN)
            st.session_state[_DONE] = export_case(desk, sitting.opened.case, request, reader)
    _take_away(seat)
    return Wishes(jump=current_jump())


@st.cache_resource(scope="session", max_entries=8, show_spinner=False)
def _series_count(name: str, _seat: Seat) -> int:  # noqa: ARG001 - the name is the key
    """How many DICOM series the image is; 0 if it is none."""
    return len(series_of(_seat.sitting.opened.case.files))


def _take_away(seat: Seat) -> None:
    """The last export of this case, as a file."""
    folder: Path | None = st.session_state.get(_DONE)
    if folder is None or not folder.name.startswith(f"{seat.sitting.shown.version.case}-"):
        return
    st.download_button(
        "Take it away",
        lambda: packed(folder),
        file_name=f"{folder.name}.zip",
        mime="application/zip",
        icon=":material/folder_zip:",
        width="stretch",
        on_click="ignore",
    )
    st.caption(f"It is kept on the server too, as exports/{folder.name} of the review folder.")
