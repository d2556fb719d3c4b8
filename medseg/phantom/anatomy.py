"""What a torso is made of: its parts in the order in which they are painted.

The frame is the patient's: x to the right, y to the front, z to the head, in mm, with the middle of the body at the
origin. Sizes and places are those of an adult abdomen, rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .shapes import LONG_MM, Common, Ellipsoid, Inset, Joined, Lumpy, Position, Ripples, Solid, Tube
from .skeleton import RibCage, spine_column, vertebrae


@dataclass(frozen=True)
class Tissue:
    """How a part looks in CT.

    Attributes:
        hu: Without contrast agent.
        enhancement: What a usual dose of contrast agent adds, in HU.
        texture: Standard deviation of its unevenness, in HU.
    """

    hu: float
    enhancement: float = 0.0
    texture: float = 0.0


@dataclass(frozen=True, eq=False)
class Part:
    """A solid of one tissue; it takes the place of what was painted before it.

    Attributes:
        solid: Where it is.
        tissue: What it is made of.
        structure: The labelled structure that it belongs to; None for what has no label.
    """

    solid: Solid
    tissue: Tissue
    structure: str | None = None


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One invented body.

    Attributes:
        parts: From back to front of the painter's order.
        half_width: From the middle of the body to the skin at the side, mm.
        half_depth: From the middle of the body to the skin of the back, mm.
    """

    parts: tuple[Part, ...]
    half_width: float
    half_depth: float


SKIN = Tissue(40)
FAT = Tissue(-105, texture=8)
MUSCLE = Tissue(50, 12, 7)
LUNG = Tissue(-820, texture=35)
HEART = Tissue(40, 110, 6)
BONE = Tissue(640)
MARROW = Tissue(260, texture=45)
DISC = Tissue(90, texture=6)
CANAL = Tissue(25)
BOWEL = Tissue(35, 20, 14)
GAS = Tissue(-900)
LIVER = Tissue(58, 42, 6)
VESSEL = Tissue(42, 125)
BILE = Tissue(8)
SPLEEN = Tissue(48, 65, 5)
CORTEX = Tissue(35, 140, 5)
MEDULLA = Tissue(32, 85, 8)
ARTERY = Tissue(42, 165, 3)


class _Sketch:
    """Draws the numbers of one body: everything is varied a little, and scaled with the body."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self.rng = rng
        self.scale = scale
        self.size = np.array([rng.uniform(150, 182), rng.uniform(104, 128)]) * scale
        self.fat = rng.uniform(12, 30)

    def place(self, x: float, y: float, z: float, spread: float = 4.0) -> Position:
        """A point near (x, y, z) of the average body."""
        moved = np.array([x, y, z]) + self.rng.normal(0, spread, 3)
        moved[:2] *= self.size / (165, 114)
        moved[2] *= self.scale
        return float(moved[0]), float(moved[1]), float(moved[2])

    def ellipsoid(self, centre: Position, radii: Position, turn: Position = (0, 0, 0), spread: float = 0.07) -> Solid:
        """An ellipsoid of about these radii and turn."""
        factors = self.scale * np.exp(self.rng.normal(0, spread, 3))
        a, b, c = np.array(radii) * factors
        tilts = np.array(turn) + self.rng.normal(0, 6, 3)
        return Ellipsoid(centre, (float(a), float(b), float(c)), (float(tilts[0]), float(tilts[1]), float(tilts[2])))

    def lumpy(self, solid: Solid, height: float, length: float) -> Solid:
        """The solid with hills of so many mm, so many mm apart."""
        return Lumpy(solid, height, Ripples.draw(self.rng, length))

    def cylinder(self, inset: float, exponent: float = 2.3) -> Ellipsoid:
        """The body's outline, so many mm below the skin."""
        a, b = self.size - inset
        return Ellipsoid((0, 0, 0), (float(a), float(b), LONG_MM), exponent=exponent)


def draw_anatomy(rng: np.random.Generator, scale: float = 1.0) -> Anatomy:
    """A random body.

    Args:
        rng: Every number of the body is drawn from it.
        scale: Size of the body; 1 is an average adult.
    """
    sketch = _Sketch(rng, scale)
    stages: tuple[Callable[[_Sketch], Iterator[Part]], ...] = (
        _wall, _chest, _gut, _muscles, _spine, _liver, _spleen, _kidneys, _great_vessels,
    )  # fmt: skip
    return Anatomy(tuple(part for stage in stages for part in stage(sketch)), *sketch.size.tolist())


def _wall(s: _Sketch) -> Iterator[Part]:
    yield Part(s.cylinder(0), SKIN)
    yield Part(s.cylinder(2.5), FAT)
    yield Part(s.lumpy(s.cylinder(s.fat), 2, 90), MUSCLE)
    yield Part(s.lumpy(_cavity(s), 2, 90), FAT)


def _cavity(s: _Sketch) -> Solid:
    return s.cylinder(s.fat + 13 * s.scale)


def _chest(s: _Sketch) -> Iterator[Part]:
    cavity = Inset(_cavity(s), 1)
    for side in (-1, 1):
        lung = s.ellipsoid(s.place(side * 72, -6, 150), (64, 92, 112), (0, side * 4, 0), spread=0.04)
        yield Part(Common(lung, cavity), LUNG)
    yield Part(s.ellipsoid(s.place(-22, 30, 118), (56, 46, 44), (0, 0, 25)), HEART)
    dome = Common(s.ellipsoid(s.place(-68, 4, 2), (72, 88, 66), spread=0.03), cavity)
    yield Part(dome, FAT)
    yield Part(RibCage(_cavity(s), s.size[1], float(s.rng.uniform(0, 28)), s.scale), BONE)


def _gut(s: _Sketch) -> Iterator[Part]:
    cavity = Inset(_cavity(s), 4)
    for _ in range(26):
        centre = s.place(s.rng.uniform(-95, 95), s.rng.uniform(-5, 80), s.rng.uniform(-135, -20))
        radii = s.rng.uniform(13, 27, 3)
        loop = Common(s.ellipsoid(centre, (radii[0], radii[1], radii[2])), cavity)
        yield Part(loop, BOWEL)
        if s.rng.random() < 0.4:
            yield Part(Inset(loop, float(s.rng.uniform(4, 8))), GAS)
    stomach = Common(s.ellipsoid(s.place(-52, 32, 34), (46, 36, 44), (0, 20, 0)), cavity)
    yield Part(stomach, BOWEL)
    bubble = s.ellipsoid(s.place(-54, 58, 42), (28, 15, 26), spread=0.2)
    yield Part(Common(bubble, Inset(stomach, 4)), GAS)


def _muscles(s: _Sketch) -> Iterator[Part]:
    for side in (-1, 1):
        x, y, _ = s.place(side * 36, -83, 0, spread=2)
        back = Ellipsoid((x, y, 0), (29 * s.scale, 21 * s.scale, LONG_MM), exponent=2.6)
        yield Part(Common(back, s.cylinder(s.fat + 2)), MUSCLE)
        line = (s.place(side * 24, -42, 20), s.place(side * 34, -38, -50), s.place(side * 48, -30, -140))
        yield Part(Tube(line, (6 * s.scale, 15 * s.scale, 23 * s.scale)), MUSCLE)


def _spine(s: _Sketch) -> Iterator[Part]:
    x, y, _ = s.place(0, -44, 0, spread=2)
    yield Part(spine_column(x, y, s.scale), DISC, "spine")
    for bone in vertebrae(s.rng, x, y, s.scale):
        yield Part(bone, BONE, "spine")
        yield Part(Inset(bone, 2.5), MARROW, "spine")
    yield Part(Ellipsoid((x, y - 27 * s.scale, 0), (9 * s.scale, 7 * s.scale, LONG_MM)), CANAL)


def _liver(s: _Sketch) -> Iterator[Part]:
    right = s.ellipsoid(s.place(72, 8, 26), (70, 80, 74), (0, 8, 0), spread=0.05)
    left = s.ellipsoid(s.place(2, 46, 44), (72, 34, 32), (0, -12, 0))
    below = s.ellipsoid(s.place(20, 8, -66), (70, 80, 56), (0, 30, 0), spread=0.05)
    whole = Common(Joined(right, left, 25), below, outside=True)
    liver = s.lumpy(Common(whole, Inset(_cavity(s), 2)), 2, 60)
    yield Part(liver, LIVER, "liver")
    trunk = s.place(36, 10, 26)
    for _ in range(7):
        tip = s.place(s.rng.uniform(40, 125), s.rng.uniform(-45, 60), s.rng.uniform(0, 75))
        branch = Tube((trunk, tip), (6.5 * s.scale, 1.5 * s.scale))
        yield Part(Common(branch, Inset(liver, 4)), VESSEL, "liver")
    yield Part(s.ellipsoid(s.place(44, 50, -14), (14, 24, 16), (-20, 0, 0), spread=0.15), BILE)


def _spleen(s: _Sketch) -> Iterator[Part]:
    body = s.ellipsoid(s.place(-102, -34, 34), (36, 48, 56), (0, -10, -20), spread=0.1)
    medial = s.ellipsoid(s.place(-62, -10, 26), (30, 42, 50), (0, 0, -15))
    bent = Common(body, medial, outside=True)
    yield Part(s.lumpy(Common(bent, Inset(_cavity(s), 2)), 1.5, 45), SPLEEN, "spleen")


def _kidneys(s: _Sketch) -> Iterator[Part]:
    for name, side, height in (("left kidney", -1, -18), ("right kidney", 1, -34)):
        x, y, z = s.place(side * 64, -40, height, spread=5)
        turn = (8.0, side * 10.0, side * -25.0)
        kidney = s.lumpy(s.ellipsoid((x, y, z), (27, 25, 54), turn), 1.2, 30)
        yield Part(Inset(kidney, -9), FAT)
        yield Part(kidney, CORTEX, name)
        pyramids = Lumpy(Inset(kidney, 8), 3.5, Ripples.draw(s.rng, 16))
        yield Part(pyramids, MEDULLA, name)
        sinus = s.ellipsoid((x - side * 20 * s.scale, y + 9 * s.scale, z), (19, 12, 24), turn)
        yield Part(sinus, FAT)


def _great_vessels(s: _Sketch) -> Iterator[Part]:
    radius = float(s.rng.uniform(9.5, 13)) * s.scale
    top, middle, low = s.place(-14, -14, 170), s.place(-11, -11, 20, 2), s.place(-6, -10, -170)
    yield Part(Tube((top, middle, low), (radius * 1.15, radius, radius * 0.8)), ARTERY, "aorta")
    line = (s.place(20, 0, 90), s.place(22, -8, 10, 2), s.place(16, -10, -170))
    yield Part(Tube(line, (11 * s.scale, 11 * s.scale, 10 * s.scale)), VESSEL)
