"""What the viewer shows: one frozen tree of plain values that travels to the page as JSON. Voxels never do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Colour = tuple[int, int, int]
Voxel = tuple[int, int, int]
PlaneName = Literal["axial", "coronal", "sagittal"]

HEAT: Literal["heat"] = "heat"
"""Colours of an overlay that shows more and less of something: 1 is the least, 255 the most, 0 is clear."""
LARGEST_LABEL = 255
"""Labels travel as one byte a voxel."""
OWN_KEYS = frozenset("0123456789befghiklmopuvx[],.? cr") | {
    "escape", "delete", "backspace", "home", "end", "pageup", "pagedown", "arrowup", "arrowdown", "arrowleft",
    "arrowright", "ctrl+z", "ctrl+y", "ctrl+shift+z", "ctrl+s",
}  # fmt: skip
"""Keys that are the viewer's own, and Streamlit's (c and r); presets take others, such as ``shift+1`` or ``q``."""


@dataclass(frozen=True)
class SceneStructure:
    """One row of the table of structures.

    Attributes:
        value: In the label map that is served, 1 to 255.
        name: As the reader knows it.
        colour: Red, green, blue.
        volume_ml: Of the version that is shown; None where it is not known.
        visible: Whether it is shown at first.
        preset: Name of the window preset to take when the structure is chosen; empty for none.
        largest: Number of its largest axial slice, feet first, for server-drawn slices; None if it is empty.
    """

    value: int
    name: str
    colour: Colour
    volume_ml: float | None = None
    visible: bool = True
    preset: str = ""
    largest: int | None = None


@dataclass(frozen=True)
class WindowPreset:
    """A window by name.

    Attributes:
        name: On its button.
        low: Value that is drawn black.
        high: Value that is drawn white.
        key: That chooses it, such as ``shift+1``; empty for none.
    """

    name: str
    low: float
    high: float
    key: str = ""


CT_PRESETS = (
    WindowPreset("Soft tissue", -160, 240, "shift+1"),
    WindowPreset("Lung", -1350, 150, "shift+2"),
    WindowPreset("Liver", -15, 150, "shift+3"),
    WindowPreset("Bone", -500, 1300, "shift+4"),
    WindowPreset("Brain", 0, 80, "shift+5"),
)
"""Windows in Hounsfield units."""


@dataclass(frozen=True)
class ValueColour:
    """What one value of an overlay means."""

    value: int
    colour: Colour
    name: str


@dataclass(frozen=True)
class SceneOverlay:
    """A second image over the first one, of bytes on the same grid as the image that is served.

    Attributes:
        name: In the list of overlays; another name is another overlay.
        url: Where it is fetched.
        colours: Of its values, or `HEAT`.
        opacity: From 0 to 1.
        legend: Words at the low and the high end of the colour bar, for `HEAT`.
        version: Another version of the same overlay is fetched anew; another URL alone is not.
    """

    name: str
    url: str
    colours: tuple[ValueColour, ...] | Literal["heat"]
    opacity: float = 0.6
    legend: tuple[str, str] = ("low", "high")
    version: str = ""


@dataclass(frozen=True)
class Jump:
    """Go to a voxel of the original grid, once for each ``nonce``."""

    voxel: Voxel
    nonce: str


@dataclass(frozen=True)
class SceneStart:
    """The slice to begin with, numbered as the server draws slices: from right, from front, from feet."""

    plane: PlaneName
    index: int


@dataclass(frozen=True)
class SceneMark:
    """A point that a reader clicked, at a voxel of the original grid."""

    voxel: Voxel
    inside: bool


@dataclass(frozen=True)
class Scene:
    """All that the viewer is told. URLs are paths on the app's own server.

    The image is fetched anew when ``case`` or ``image_id`` changes, the labels when ``case`` or ``labels_id`` does;
    a new URL alone (a new ticket) changes nothing on the screen. After a save the labels on the screen are those that
    were saved, so ``labels_id`` stays as it is until other outlines are to be shown. One that holds the digest that the
    server gave for the drawing on the screen names just that drawing, and nothing is fetched.

    Attributes:
        case: Pseudonym.
        image_url: Raw NIfTI of the image.
        labels_url: Raw NIfTI of the labels, one byte a voxel, on the image's grid.
        slice_url: Prefix of server-drawn slices: ``/{plane}/{index}.png`` follows.
        first_slice_url: The picture that is shown until the image is there.
        shape: Of the original grid.
        orientation: Where the three axes of the original grid point to, such as ``LPS``; the nearest letters.
        window: Values that are drawn black and white at first.
        structures: Rows of the table, in its order.
        start: The slice to begin with; the middle if None.
        factor: Voxels of the original grid along each side of one voxel that is served.
        notice: Words about the copy that is served, such as its voxel size; empty if it is the original.
        unit: Of the values, such as ``HU``.
        presets: Windows by name.
        overlays: Drawn over the image.
        marks: Points that were clicked.
        mask_url: Where drawings are sent; without it nothing can be edited.
        original_url: Labels to which a structure can be reverted; by default those of ``labels_url``.
        sequence: Number of the next drawing that is sent.
        draft: Whether the labels hold strokes that are in no version yet.
        image_id: Names the image within the case, such as its channel.
        labels_id: Names the labels within the case.
        reports_location: Whether the voxel under the crosshair is told to the page.
        takes_clicks: Whether the tool that marks points for a refinement is there.
        jump: Where to go.
        test: Whether tests may reach into the viewer.
    """

    case: str
    image_url: str
    labels_url: str
    slice_url: str
    first_slice_url: str
    shape: Voxel
    orientation: str
    window: tuple[float, float]
    structures: tuple[SceneStructure, ...] = ()
    start: SceneStart | None = None
    factor: Voxel = (1, 1, 1)
    notice: str = ""
    unit: str = ""
    presets: tuple[WindowPreset, ...] = ()
    overlays: tuple[SceneOverlay, ...] = ()
    marks: tuple[SceneMark, ...] = ()
    mask_url: str = ""
    original_url: str = ""
    sequence: int = 1
    draft: bool = False
    image_id: str = ""
    labels_id: str = ""
    reports_location: bool = False
    takes_clicks: bool = False
    jump: Jump | None = None
    test: bool = False

    def __post_init__(self) -> None:
        _check_urls(self)
        _check_values(structure.value for structure in self.structures)
        _check_keys(preset.key for preset in self.presets)
        if not all(math.isfinite(edge) for edge in self.window) or self.window[0] >= self.window[1]:
            raise ValueError(f"a window goes from a value to a greater one, got {self.window}")
        if len(self.orientation) != 3 or {"RL", "AP", "IS"} != {_axis(letter) for letter in self.orientation.upper()}:
            raise ValueError(f"an orientation is three letters such as 'LPS', got {self.orientation!r}")

    def as_json(self, base: str = "") -> dict[str, Any]:
        """Plain values for the page; every URL with the path under which the app is served in front."""
        tree = asdict(self)
        for name in ("image_url", "labels_url", "slice_url", "first_slice_url", "mask_url", "original_url"):
            tree[name] = _under(base, tree[name])
        for overlay in tree["overlays"]:
            overlay["url"] = _under(base, overlay["url"])
        return tree


def _under(base: str, url: str) -> str:
    return f"/{base.strip('/')}{url}" if url and base.strip("/") else url


def _axis(letter: str) -> str:
    return next((pair for pair in ("RL", "AP", "IS") if letter in pair), "")


def _check_urls(scene: Scene) -> None:
    """Refuse an address that could lead off our own server."""
    urls = [scene.image_url, scene.labels_url, scene.slice_url, scene.first_slice_url]
    urls += [url for url in (scene.mask_url, scene.original_url) if url]
    urls += [overlay.url for overlay in scene.overlays]
    if not all(url.startswith("/") and not url.startswith("//") and "\\" not in url for url in urls):
        raise ValueError("a URL of a scene is a path on the app's own server, such as '/medseg/voxels/ticket'")


def _check_values(values: Iterable[int]) -> None:
    seen: set[int] = set()
    for value in values:
        if not 1 <= value <= LARGEST_LABEL or value in seen:
            raise ValueError(f"structures have different values from 1 to {LARGEST_LABEL}, got {value}")
        seen.add(value)


def _check_keys(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in filter(None, keys):
        if key.lower() in OWN_KEYS or key.lower() in seen:
            raise ValueError(f"the key {key!r} is taken; choose another one, such as 'shift+1'")
        seen.add(key.lower())
