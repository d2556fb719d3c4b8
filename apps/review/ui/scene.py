"""What the viewer is told about the case on the screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medseg_viewer import (
    CT_PRESETS,
    HEAT,
    Jump,
    Scene,
    SceneMark,
    SceneOverlay,
    SceneStart,
    SceneStructure,
    ValueColour,
)

from medseg.core.labels import LabelScheme
from medseg.render.slices import Plane
from medseg.review.desk import Seat
from medseg.review.laid_over import Comparison, Doubt
from medseg.review.slices import SliceView, first_slice
from medseg.review.structures import StructureRow
from medseg.review.tickets import Grant, VoxelGrant
from medseg.review.uncertainty import HEAT_NAME

AGREEMENT = "Agreement"
_OTHERS = "Other structures"
_PLANES: dict[Plane, Literal["axial", "coronal", "sagittal"]] = {
    Plane.AXIAL: "axial",
    Plane.CORONAL: "coronal",
    Plane.SAGITTAL: "sagittal",
}


@dataclass(frozen=True)
class Wishes:
    """What the reader wants to see besides the outlines.

    Attributes:
        comparison: Laid over the image.
        doubt: Laid over the image.
        jump: Where to go.
        channel: Which of several.
        takes_clicks: Whether points may be marked for a refinement.
        marks: Points that were marked.
        may_draw: Whether strokes are taken.
        test: Whether tests may reach into the viewer.
    """

    comparison: Comparison | None = None
    doubt: Doubt | None = None
    jump: Jump | None = None
    channel: str = ""
    takes_clicks: bool = False
    marks: tuple[SceneMark, ...] = ()
    may_draw: bool = True
    test: bool = False


def scene_of(seat: Seat, holder: str, wishes: Wishes) -> Scene:
    """The scene of what a tab has before it.

    Args:
        seat: The case, the overlays and the tickets.
        holder: The browser's own cookie.
        wishes: What is to be seen besides.

    Raises:
        InputError: If the browser keeps no cookie.
        OutputError: If the file of a channel cannot be written.
    """
    sitting = seat.sitting
    shown, grants, opened = sitting.shown, sitting.shown.grants, sitting.opened
    volume, view = opened.case.volume, grants.slices.view
    addresses = _Addresses(seat, holder)
    image = opened.channel(wishes.channel) if wishes.channel else opened.image
    slices, start = addresses.slices(), _start(view)
    scene = Scene(
        case=opened.case.files.name,
        image_id=wishes.channel,
        labels_id=shown.identity,
        image_url=addresses.voxels(sitting.image(wishes.channel)),
        labels_url=addresses.voxels(grants.labels),
        original_url=addresses.voxels(grants.original) if grants.original else "",
        mask_url=addresses.of("mask", grants.mask) if wishes.may_draw and sitting.may_draw else "",
        slice_url=slices,
        first_slice_url=f"{slices}/{start.plane}/{start.index}.png",
        shape=volume.geometry.shape,
        orientation="".join(volume.geometry.axis_codes),
        window=(view.window.low, view.window.high),
        presets=CT_PRESETS if sitting.in_hu else (),
        unit="HU" if sitting.in_hu else "",
        structures=tuple(map(_structure, shown.rows)),
        start=start,
        factor=image.factor,
        notice=image.notice,
        overlays=tuple(_overlays(addresses, seat, wishes)),
        sequence=grants.mask.sequence.next,
        draft=shown.is_draft,
        takes_clicks=wishes.takes_clicks,
        marks=wishes.marks,
        jump=wishes.jump,
        test=wishes.test,
    )
    seat.passes.keep(addresses.grants)
    return scene


@dataclass(frozen=True)
class _Addresses:
    """Paths of our own routes, with the tab's tickets, and the grants that these are for."""

    seat: Seat
    holder: str
    grants: list[Grant] = field(default_factory=list)

    def of(self, kind: str, grant: Grant) -> str:
        self.grants.append(grant)
        return f"/medseg/{kind}/{self.seat.passes.ticket(grant, self.holder)}"

    def voxels(self, grant: VoxelGrant) -> str:
        return self.of("voxels", grant)

    def slices(self) -> str:
        return self.of("slice", self.seat.sitting.shown.grants.slices)


def _start(view: SliceView) -> SceneStart:
    plane, index = first_slice(view)
    return SceneStart(_PLANES[plane], index)


def _structure(row: StructureRow) -> SceneStructure:
    return SceneStructure(row.value, row.name, row.colour, row.volume_ml, preset=row.window, largest=row.largest)


def _overlays(addresses: _Addresses, seat: Seat, wishes: Wishes) -> list[SceneOverlay]:
    """The overlays, the one that matters most last."""
    found: list[SceneOverlay] = []
    shown = seat.sitting.shown
    if shown.grants.others is not None and shown.target is not None:
        colours = _other_colours(seat.sitting.opened.case.scheme, shown.target)
        url = addresses.voxels(shown.grants.others)
        found.append(SceneOverlay(_OTHERS, url, colours, 0.3, version=shown.identity))
    if wishes.doubt is not None:
        url = addresses.voxels(wishes.doubt.map)
        found.append(
            SceneOverlay(HEAT_NAME, url, HEAT, 0.5, wishes.doubt.legend, version=str(wishes.doubt.map.path.name))
        )
    if wishes.comparison is not None:
        colours = tuple(ValueColour(int(one.value), one.colour, one.words) for one in wishes.comparison.legend)
        url = addresses.voxels(wishes.comparison.map)
        found.append(SceneOverlay(AGREEMENT, url, colours, 0.6, version=wishes.comparison.identity))
    return found


def _other_colours(scheme: LabelScheme, target: str) -> tuple[ValueColour, ...]:
    return tuple(
        ValueColour(place, one.colour, one.name)
        for place, one in enumerate(scheme.target_structures, start=1)
        if one.name != target
    )
