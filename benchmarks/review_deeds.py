"""What a simulated user does in a tab of the review app."""

from __future__ import annotations

import functools
import gzip
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from review_client import Browser, Tab, TroubleError
from review_ledger import Marks
from review_material import body
from streamlit.proto.Common_pb2 import StringArray
from streamlit.proto.WidgetStates_pb2 import WidgetState

from medseg.core.volume import Volume
from medseg.io.nifti import write_nifti

_HEADER_BYTES = 352
_UPLOAD_SHAPE, _UPLOAD_SPACING = (64, 64, 32), (6.0, 6.0, 7.0)
_SLICES = 4
_PANELS = ("Versions", "Compare", "Uncertainty", "Case")
_VERDICTS = ("Accept", "Needs work", "Reject")
_OWN, _SHARED = "upload-", "case-"
_REFUSALS = (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND, httpx.codes.GONE)


@dataclass(eq=False)
class Deeds:
    """What somebody does in one tab.

    Attributes:
        number: Who.
        marks: What is theirs alone.
        browser: Theirs.
        tab: In it.
        rng: Chooses.
        loot: By owner, what is theirs alone and others may try to get: addresses with tickets, names of cases.
        drawn: Cases that they saved strokes of.
        refused: How often getting at what is another's did not succeed.
    """

    number: int
    marks: Marks
    browser: Browser
    tab: Tab
    rng: random.Random
    loot: dict[int, list[str]]
    drawn: set[str]
    refused: int = 0
    _sent: dict[str, int] = field(default_factory=dict)
    _drawn_on: set[str] = field(default_factory=set)
    """Addresses of labels as they were before; a viewer that has them goes on with what was drawn on them."""

    async def upload(self) -> None:
        """An image with the marker among its voxels."""
        await self.tab.go("upload")
        state = await self.tab.send_file(f"{self.marks.text}.nii.gz", marked_image(self.marks.text))
        await self.tab.run("choose files", state)
        await self.tab.press("upload", "Take them in", state)
        self._check()
        if not self._links(_OWN):
            raise TroubleError(f"the upload became no case; {sorted(self.tab.page.buttons)}")

    async def open_own(self) -> None:
        """The image that was uploaded."""
        await self._open(_OWN)
        image = await self._fetched(self._scene()["image_url"])
        if self.marks.text.encode() not in image:
            raise TroubleError("the voxels are not those that were uploaded")

    async def open_shared(self) -> None:
        """One of the studies that everybody sees."""
        await self._open(_SHARED)
        await self._fetched(self._scene()["image_url"])

    async def look(self) -> None:
        """Slices that the server draws."""
        scene = await self._viewed()
        for _ in range(_SLICES):
            index = self.rng.randrange(min(scene["shape"]))
            await self._fetched(f"{scene['slice_url']}/axial/{index}.png")

    async def draw(self) -> None:
        """Strokes, sent as the viewer sends them, and saved."""
        scene = await self._viewed()
        labels = bytearray(await self._fetched(scene["labels_url"]))
        width, height = scene["shape"][:2]
        at = _HEADER_BYTES + width * (self.rng.randrange(1, height * 8) * 2)
        labels[at : at + len(self.marks.stroke)] = self.marks.stroke
        number = max(scene["sequence"], self._sent.get(scene["mask_url"], 0) + 1)
        self._sent[scene["mask_url"]] = number
        headers = {"Content-Type": "application/gzip", "X-Medseg-Sequence": str(number)}
        packed = gzip.compress(bytes(labels), 1)
        answer = await self.browser.ask("POST", scene["mask_url"], headers=headers, content=packed)
        if answer.status_code != httpx.codes.OK:
            raise TroubleError(f"the mask is refused: {answer.status_code} {answer.text[:200]}")
        await self.tab.tell("saved", answer.json())
        self._check()
        self.drawn.add(scene["case"])
        self._drawn_on.add(scene["labels_url"])

    async def decide(self) -> None:
        """A decision with the marker in its comment."""
        await self._viewed()
        comment = next(one for one in self.tab.page.all("text_input") if one.label == "Comment")
        words = WidgetState(id=comment.id, string_value=f"looked at it, {self.marks.text}")
        await self.tab.press("decide", self.rng.choice(_VERDICTS), words)
        self._check()

    async def panel(self) -> None:
        """Another panel beside the viewer."""
        await self._viewed()
        panels = next(one for one in self.tab.page.all("button_group") if one.label == "Panel")
        chosen = WidgetState(id=panels.id, string_array_value=StringArray(data=[self.rng.choice(_PANELS)]))
        await self.tab.run("panel", chosen)
        self._check()

    async def list(self) -> None:
        """The work list."""
        await self.tab.go("")
        self._check()

    async def help(self) -> None:
        """The page of help."""
        await self.tab.go("help")
        self._check()

    async def pry(self) -> None:
        """Try to get what is another's; whatever is not refused is an error."""
        others = [goods for owner, goods in self.loot.items() if owner != self.number and goods]
        if not others:
            return
        wanted = self.rng.choice(self.rng.choice(others))
        if wanted.startswith("/"):
            answer = await self.browser.ask("GET", wanted)
            is_refused = answer.status_code in _REFUSALS
        else:
            tab = await Tab.open(self.browser, "review", {"case": wanted})
            is_refused = bool(tab.page.errors) and tab.page.scene is None
            await tab.close()
        if not is_refused:
            raise TroubleError(f"{wanted[:24]} of somebody else was not refused")
        self.refused += 1

    async def _open(self, start: str) -> None:
        """A case from the work list, whose name starts so, as the viewer opens it."""
        await self.tab.go("")
        names = self._links(start)
        if not names:
            raise TroubleError(f"no case {start} on the work list; {self.tab.page.errors}")
        await self.tab.press("open a case", self.rng.choice(names))
        scene = self._scene()
        self.loot[self.number] = [scene["image_url"], scene["labels_url"], f"{scene['slice_url']}/axial/1.png"]
        self.loot[self.number] += [name for name in names if name.startswith(_OWN)]
        await self._fetched(scene["first_slice_url"])
        labels = await self._fetched(scene["labels_url"])
        is_anew = scene["labels_url"] not in self._drawn_on
        if is_anew and scene["case"] in self.drawn and self.marks.stroke not in labels:
            raise TroubleError("what was drawn and saved is not there")

    async def _viewed(self) -> dict[str, Any]:
        """What the viewer shows; a case is opened if there is none."""
        if self.tab.page.scene is None:
            await self.open_shared()
        return self._scene()

    def _links(self, start: str) -> list[str]:
        return [name for name in self.tab.page.buttons if name.startswith(start)]

    def _scene(self) -> dict[str, Any]:
        """What the viewer shows.

        Raises:
            TroubleError: If the page has no viewer.
        """
        scene = self.tab.page.scene
        if scene is None:
            raise TroubleError(f"no viewer on the page; {self.tab.page.errors}")
        return scene

    def _check(self) -> None:
        if self.tab.page.errors:
            raise TroubleError("; ".join(self.tab.page.errors))

    async def _fetched(self, path: str) -> bytes:
        answer = await self.browser.ask("GET", path)
        if answer.status_code != httpx.codes.OK:
            raise TroubleError(f"{path.split('/')[2]} answers {answer.status_code}")
        return answer.content


def marked_image(mark: str) -> bytes:
    """A small CT as a packed NIfTI file, with a text among its voxels."""
    image = _plain_image()
    array, text = image.array.copy(), np.frombuffer(mark.encode().ljust(24), np.int16)
    array[0, : len(text), 1, 1] = text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii.gz"
        write_nifti(path, array, image.geometry)
        return path.read_bytes()


@functools.cache
def _plain_image() -> Volume:
    return body(0, _UPLOAD_SHAPE, _UPLOAD_SPACING)[0]
