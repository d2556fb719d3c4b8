"""The outlines on a reader's screen, and what lets their browser have them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from medseg.core.errors import InputError
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Labels

from .drafts import Draft
from .edits import volumes_ml
from .opened import OpenedCase
from .records import Reader, Version
from .served import Served, ServedLabels, other_targets, served_labels
from .slices import SliceView
from .structures import StructureRow, is_in_hu, structure_rows
from .tickets import MaskGrant, Sequence, SliceGrant, VoxelGrant


@dataclass(frozen=True, eq=False)
class Grants:
    """Leave for the browser.

    Attributes:
        labels: To fetch the outlines.
        slices: To fetch slices with them.
        mask: To send masks back.
        original: To fetch the prediction, which structures can be reverted to; None where it is what ``labels`` is.
        others: To fetch the structures that are not drawn now, where they overlap; else None.
    """

    labels: VoxelGrant
    slices: SliceGrant
    mask: MaskGrant
    original: VoxelGrant | None = None
    others: VoxelGrant | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """The outlines on the screen.

    Attributes:
        version: What strokes go on from.
        segmentation: The outlines, with all that was saved since.
        target: The one structure that may be drawn, where structures overlap; else None.
        rows: The structures that may be drawn, with what they measure.
        is_draft: Whether they hold strokes that are in no version.
        served: The file that the browser got.
        view: For slices that the server draws.
        grants: What lets the browser fetch them and send masks.
        identity: Another one means that the browser has to fetch them anew; no two files have the same.
    """

    version: Version
    segmentation: Segmentation
    target: str | None
    rows: tuple[StructureRow, ...]
    is_draft: bool
    served: ServedLabels
    grants: Grants
    identity: str


class Screen:
    """What a reader can have on the screen of an open case.

    Attributes:
        in_hu: Whether the image's values are Hounsfield units.
    """

    def __init__(self, opened: OpenedCase, reader: Reader, prediction: Version) -> None:
        """Nothing is on the screen yet.

        Args:
            opened: The case.
            reader: Whose strokes become drafts.
            prediction: Structures can be reverted to it.
        """
        self._opened, self._reader, self._prediction = opened, reader, prediction
        self.in_hu = is_in_hu(opened.case.volume)

    def show(self, version: Version, labels: Labels, target: str | None, draft: Draft | None = None) -> Shown:
        """Files of outlines, and leave to have them.

        Args:
            version: What strokes go on from.
            labels: The outlines.
            target: The one structure that may be drawn, where structures overlap; else None.
            draft: Where the outlines come from, if they are in no version.

        Raises:
            OutputError: If the files cannot be written.
        """
        case = self._opened.case
        segmentation = Segmentation(labels, case.scheme)
        served = served_labels(segmentation, self._opened.image, target)
        is_prediction = draft is None and version.number == self._prediction.number
        grants = Grants(
            self.leave(served.served),
            self._slices(segmentation, served),
            MaskGrant(case.files.name, self._reader, version, served, Sequence(draft.sha256 if draft else "")),
            None if is_prediction else self.leave(served_labels(case.prediction, self._opened.image, target).served),
            None if target is None else self.leave(self._opened.overlay(other_targets(segmentation, target))),
        )
        sha256 = draft.sha256 if draft else version.sha256
        identity = f"{version.number} {sha256} {target or ''} {served.served.path.stem}"
        volumes = volumes_ml(segmentation) if draft else version.volumes_ml
        rows = structure_rows(segmentation, served, volumes, in_hu=self.in_hu)
        return Shown(version, segmentation, target, rows, draft is not None, served, grants, identity)

    def go_on_from(self, shown: Shown, version: Version, labels: Labels) -> Shown:
        """The same files, where what was drawn on them was saved as a version: strokes go on from that."""
        segmentation = Segmentation(labels, self._opened.case.scheme)
        mask = replace(shown.grants.mask, base=version)
        return replace(
            shown,
            version=version,
            segmentation=segmentation,
            rows=structure_rows(segmentation, shown.served, version.volumes_ml, in_hu=self.in_hu),
            is_draft=False,
            grants=replace(shown.grants, mask=mask, slices=self._slices(segmentation, shown.served)),
        )

    def leave(self, served: Served) -> VoxelGrant:
        """Leave to fetch a file."""
        return VoxelGrant(self._opened.case.files.name, served.path)

    def _slices(self, segmentation: Segmentation, served: ServedLabels) -> SliceGrant:
        case = self._opened.case
        values = served.drawable if served.target is None else {1: case.scheme[served.target].value}
        return SliceGrant(case.files.name, SliceView.of(case.volume, segmentation), values)


def remove_files(shown: Shown) -> None:
    """Remove the files that the browser got; masks that were drawn on them can still be taken."""
    grants = shown.grants
    with contextlib.suppress(InputError):
        shown.served.array()
    for grant in (grants.labels, grants.original, grants.others):
        if grant is not None:
            with contextlib.suppress(OSError):
                grant.path.unlink()
