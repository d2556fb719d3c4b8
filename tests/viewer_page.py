"""A page outside of Streamlit that mounts the viewer on a phantom, and a server that keeps what the viewer sends."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
from factories import geometry
from medseg_viewer import (
    CT_PRESETS,
    HEAT,
    Scene,
    SceneOverlay,
    SceneStart,
    SceneStructure,
    ValueColour,
    asset_folder,
    script_name,
)
from PIL import Image
from web_server import Answer, Asked, WebServer, running_web

from medseg.core.geometry import Geometry

SHAPE = (56, 64, 40)
LIVER, KIDNEY, SPLEEN = 1, 2, 3
STRUCTURES = (
    SceneStructure(LIVER, "liver", (213, 94, 0), 31.2, preset="Liver", largest=20),
    SceneStructure(KIDNEY, "kidney <b>left</b>", (86, 180, 233), 7.05),
    SceneStructure(SPLEEN, "spleen", (0, 158, 115), None),
)
_PAGE = """<!doctype html><meta charset="utf-8"><title>viewer</title>
<style>{style}</style><div id="root"></div>
<script type="module">
  import {{ mount }} from '/medseg/viewer/{script}';
  window.told = {{}};
  window.triggers = [];
  const root = document.getElementById('root').attachShadow({{ mode: 'open' }});
  window.show = async (changes = {{}}) => {{
    const data = {{ ...(await (await fetch('/scene.json')).json()), ...changes }};
    const setStateValue = (name, value) => {{ window.told[name] = value; }};
    const setTriggerValue = (name, value) => {{ window.triggers.push([name, value]); }};
    window.leave = mount({{ parentElement: root, data, setStateValue, setTriggerValue }});
  }};
  await window.show();
</script>"""
_LIGHT = "body{margin:8px;background:#fff;--st-text-color:#31333f;--st-background-color:#fff;--st-font:sans-serif}"
_DARK = (
    "body{margin:8px;background:#0e1117;--st-text-color:#fafafa;--st-background-color:#0e1117;--st-font:sans-serif;"
    "--st-secondary-background-color:#262730;--st-border-color:rgb(250 250 250 / 25%);--st-primary-color:#ff6b6b}"
)


def phantom(grid: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Image in HU and labels: a body with three balls, in the orientation of the grid."""
    ras = grid.reoriented("RAS")
    place = (np.indices(ras.shape).T / np.subtract(ras.shape, 1)).T
    from_middle = place - 0.5
    image = np.where((from_middle[:2] ** 2).sum(0) < 0.2, 40, -1000).astype(np.int16)
    labels = np.zeros(ras.shape, np.uint8)
    balls = ((LIVER, (0.66, 0.5, 0.5), 0.18), (KIDNEY, (0.32, 0.35, 0.4), 0.1), (SPLEEN, (0.3, 0.62, 0.62), 0.09))
    for value, middle, radius in balls:
        inside = ((place - np.reshape(middle, (3, 1, 1, 1))) ** 2).sum(0) < radius**2
        labels[inside] = value
        image[inside] = 60 + 40 * value
    image += np.random.default_rng(0).integers(-8, 8, image.shape, dtype=np.int16)
    flip = nib.orientations.ornt_transform(nib.io_orientation(ras.affine), nib.io_orientation(grid.affine))
    return (np.ascontiguousarray(nib.orientations.apply_orientation(array, flip)) for array in (image, labels))


@dataclass
class ViewerPage:
    """What the server gives and got.

    Attributes:
        grid: Of the phantom.
        slope: Scaling in the header of the image; None for none.
        scene: What the page shows; its URLs are ours.
        masks: Files that were sent, by their numbers.
        refusals: Status codes for the next drawings that are sent.
    """

    grid: Geometry = field(default_factory=lambda: geometry(SHAPE, (1.5, 1.5, 2.5), "LPS"))
    slope: tuple[float, float] | None = None
    scene: Scene | None = None
    is_dark: bool = False
    height: int = 620
    masks: dict[int, bytes] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image, self.labels = phantom(self.grid)
        self.heat = np.where(self.labels > 0, np.arange(self.grid.shape[2]) * 6 + 10, 0).astype(np.uint8)
        if self.scene is None:
            self.scene = scene_of(self.grid)

    @property
    def files(self) -> dict[str, bytes]:
        image = nifti(self.image, self.grid.affine)
        if self.slope is not None:
            image.header.set_slope_inter(*self.slope)
        parts = {
            "image": image,
            "labels": nifti(self.labels, self.grid.affine),
            "heat": nifti(self.heat, self.grid.affine),
        }
        return {name: file.to_bytes() for name, file in parts.items()}

    def answer(self, asked: Asked) -> Answer:
        path = urlsplit(asked.path).path
        match path.strip("/").split("/"):
            case [""]:
                page = _PAGE.format(script=script_name(), style=_DARK if self.is_dark else _LIGHT)
                return Answer(page.encode(), "text/html")
            case ["scene.json"]:
                data = {"scene": self.scene.as_json(), "key": "viewer", "height": self.height}
                return Answer(json.dumps(data).encode(), "application/json")
            case ["medseg", "viewer", name]:
                return Answer((asset_folder() / name).read_bytes(), "text/javascript")
            case ["voxels", name]:
                return Answer(self.files[name], "application/octet-stream")
            case ["slice", plane, name]:
                return Answer(self._picture(plane, int(name.removesuffix(".png"))), "image/png")
            case ["mask"]:
                return self._keep(asked)
            case _:
                return Answer(status=404)

    def _keep(self, asked: Asked) -> Answer:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        number = int(headers["x-medseg-sequence"])
        if self.refusals:
            return Answer(b'{"error": "the desk is full"}', "application/json", self.refusals.pop(0))
        assert headers["sec-fetch-site"] == "same-origin"
        assert number > max(self.masks, default=0)
        self.masks[number] = gzip.decompress(asked.body)
        digest = hashlib.sha256(self.masks[number]).hexdigest()
        return Answer(json.dumps({"sequence": number, "sha256": digest}).encode(), "application/json")

    def _picture(self, plane: str, index: int) -> bytes:
        """A slice as the server of the app draws it, but without letters."""
        flip = nib.orientations.ornt_transform(
            nib.io_orientation(self.grid.affine), nib.orientations.axcodes2ornt(("L", "P", "S"))
        )
        lps = nib.orientations.apply_orientation(self.image, flip)
        axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
        cut = lps.take(index, axis).T[:: 1 if plane == "axial" else -1]
        grey = np.clip((cut + 160.0) / 400 * 255, 0, 255).astype(np.uint8)
        made = io.BytesIO()
        Image.fromarray(grey).resize((grey.shape[1] * 6, grey.shape[0] * 6)).save(made, "PNG")
        return made.getvalue()


def nifti(array: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(array, affine)


def scene_of(grid: Geometry, **changes) -> Scene:
    scene = Scene(
        case="case-7f3a",
        image_url="/voxels/image",
        labels_url="/voxels/labels",
        mask_url="/mask",
        slice_url="/slice",
        first_slice_url="/slice/axial/20.png",
        shape=grid.shape,
        orientation="".join(nib.aff2axcodes(grid.affine)),
        window=(-160, 240),
        structures=STRUCTURES,
        start=SceneStart("axial", 20),
        unit="HU",
        presets=CT_PRESETS,
        test=True,
    )
    return replace(scene, **changes)


def overlays() -> tuple[SceneOverlay, ...]:
    colours = (
        ValueColour(1, (0, 158, 115), "both"),
        ValueColour(2, (213, 94, 0), "only the model"),
        ValueColour(3, (0, 114, 178), "only the reader"),
    )
    return (
        SceneOverlay("Agreement", "/voxels/labels", colours, 0.7),
        SceneOverlay("Uncertainty", "/voxels/heat", HEAT, 0.6, ("certain", "unsure")),
    )


@contextlib.contextmanager
def running_page(page: ViewerPage) -> Iterator[WebServer]:
    with running_web(page.answer) as server:
        yield server
