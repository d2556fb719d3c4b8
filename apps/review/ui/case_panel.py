"""What is known of a case: the image, the model, what is odd, and, for those who may, whose it is."""

from __future__ import annotations

import streamlit as st
from medseg_app import in_use

from medseg.core.geometry import LengthUnit
from medseg.review.access import Deed, may
from medseg.review.desk import Seat
from medseg.review.identifiers import identifiers_of
from medseg.review.records import Act, Reader

from .place import current_jump
from .plain import moment
from .scene import Wishes


def show(seat: Seat, reader: Reader) -> Wishes:
    """A list of facts; identifiers only when they are asked for, which is in the log."""
    st.text("\n".join(f"{name}: {value}" for name, value in _facts(seat)))
    for note in seat.sitting.opened.case.notes:
        st.text(f"⚠ {note}")
    _flags(seat)
    _identifiers(seat, reader)
    return Wishes(jump=current_jump())


def _facts(seat: Seat) -> list[tuple[str, str]]:
    case, grid = seat.sitting.opened.case, seat.sitting.opened.case.volume.geometry
    unit = "mm" if grid.unit is LengthUnit.MM else "pixels"
    record, model = case.files.record, case.files.record.model
    facts = [
        (
            "Image",
            f"{' x '.join(map(str, grid.shape))} voxels of {' x '.join(f'{s:.3g}' for s in grid.spacing)} {unit}",
        ),
        ("Came from", {"batch": "a batch", "folder": "a folder", "upload": "your upload"}[record.origin]),
        ("Model", " ".join(filter(None, (model.name, model.version))) or "not known"),
    ]
    if model.digest:
        facts.append(("Digest of the model", model.digest[:16]))
    return [*facts, ("Predicted", moment(record.made))]


def _flags(seat: Seat) -> None:
    flags = seat.sitting.opened.case.files.record.flags
    if flags:
        st.caption("Unlike training")
        st.text("\n".join(f"⚑ {' '.join(filter(None, (flag.target, flag.text)))}" for flag in flags))


def _identifiers(seat: Seat, reader: Reader) -> None:
    desk, files = in_use.desk(), seat.sitting.opened.case.files
    if not may(reader, Deed.SEE_IDENTIFIERS, desk.config):
        return
    if not st.button("Show identifiers", icon=":material/badge:", help="Each look is in the audit log."):
        return
    desk.store.log(Act.IDENTIFIERS_SHOWN, reader, files.name, {"what": "identifiers"})
    found = identifiers_of(files, reader, desk.config)
    if not found:
        st.text("Nothing is known of whose it is.")
        return
    st.text("\n".join(f"{name}: {value}" for name, value in found.items()))
