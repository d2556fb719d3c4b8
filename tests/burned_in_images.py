"""Pictures with known burned-in text, and clean ones that have much that looks like text; all drawn, none taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

SIDE = 512
LOOKS = ("ct", "ultrasound", "x-ray")
_GREY = {"ct": 150, "ultrasound": 140, "x-ray": 205}
_SPOT = {"ct": (190, 150), "ultrasound": (250, 160), "x-ray": (180, 60)}
"""Row and column where text over tissue begins."""


@dataclass(frozen=True)
class Style:
    """How the lines of one picture are written."""

    height: int
    over_tissue: bool
    brightness: str

    @property
    def name(self) -> str:
        place = "over tissue" if self.over_tissue else "corner"
        return f"{self.height} px {self.brightness} {place}"


STYLES = (
    Style(10, False, "bright"),
    Style(14, False, "bright"),
    Style(20, False, "bright"),
    Style(10, True, "bright"),
    Style(14, True, "bright"),
    Style(20, True, "dark"),
    Style(14, True, "grey"),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and the boxes (top, left, bottom, right) around the ink of its lines."""

    name: str
    array: np.ndarray
    lines: tuple[tuple[int, int, int, int], ...] = ()


def text_pictures(seed: int = 0) -> list[Picture]:
    """Three looks times seven styles, six lines each: 126 lines."""
    rng = np.random.default_rng(seed)
    return [text_picture(look, style, rng) for look in LOOKS for style in STYLES]


def text_picture(look: str, style: Style, rng: np.random.Generator) -> Picture:
    """One picture with six lines that name an invented person."""
    value = {"bright": 255, "dark": 0, "grey": _GREY[look]}[style.brightness]
    top, left = _SPOT[look] if style.over_tissue else (6, 6)
    array, lines = write_lines(body(look, rng), identity_lines(rng), (top, left), style.height, value)
    return Picture(f"{look}, {style.name}", array, lines)


def write_lines(
    array: np.ndarray, lines: list[str], corner: tuple[int, int], height: int, value: int
) -> tuple[np.ndarray, tuple[tuple[int, int, int, int], ...]]:
    """The picture with ``lines`` one below the other, and the box of each."""
    boxes = []
    for number, line in enumerate(lines):
        ink = Image.new("L", array.shape[::-1])
        place = (corner[1], corner[0] + round(number * height * 1.35))
        ImageDraw.Draw(ink).text(place, line, fill=255, font=ImageFont.load_default(height))
        mask = np.asarray(ink) / 255
        array = (array * (1 - mask) + value * mask).astype(np.uint8)
        rows, columns = np.nonzero(mask > 0.3)
        boxes.append((int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1))
    return array, tuple(boxes)


def identity_lines(rng: np.random.Generator) -> list[str]:
    """Six lines as a scanner would write them."""
    family = rng.choice(["MUSTERMANN", "OKONKWO", "Lindqvist", "FERNANDEZ", "Petrov", "NAKAMURA"])
    given = rng.choice(["Erika", "SAMUEL", "Johanna", "MIGUEL", "Olga", "KENJI"])
    hospital = rng.choice(["St. Elsewhere Hospital", "GENERAL HOSPITAL 4", "Univ. Clinic North", "City Medical Center"])
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1930, 2010)
    return [
        f"{family}^{given}",
        f"ID: {rng.integers(10**6, 10**8)}",
        f"DOB {day:02d}.{month:02d}.{year}",
        str(hospital),
        f"Acc# A{rng.integers(10**5, 10**7)}",
        f"2023-{month:02d}-{day:02d} {rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}:{rng.integers(0, 60):02d}",
    ]


def body(look: str, rng: np.random.Generator) -> np.ndarray:
    """Anatomy without text, shape ``(512, 512)``."""
    return {"ct": _ct, "ultrasound": _ultrasound, "x-ray": _x_ray}[look](rng)


def clean_pictures(seed: int = 0) -> list[Picture]:
    """Fifteen pictures without text."""
    rng = np.random.default_rng(seed)
    makers: list[tuple[str, Callable[[np.random.Generator], np.ndarray]]] = [
        ("ct", _ct),
        ("ultrasound", _ultrasound),
        ("x-ray", _x_ray),
        ("ct, other patient", _ct),
        ("ultrasound, other patient", _ultrasound),
        ("x-ray, other patient", _x_ray),
        ("noise", lambda rng: _to_uint8(128 + 40 * rng.standard_normal((SIDE, SIDE)))),
        ("speckle", lambda rng: _to_uint8(70 * _speckle(rng))),
        ("ct with a ruler", lambda rng: _with_ruler(_ct(rng))),
        ("ultrasound with depth marks", lambda rng: _with_depth_marks(_ultrasound(rng))),
        ("ellipses", _ellipses),
        ("edges", _edges),
        ("grid and bars", _grid),
        ("trace under ultrasound", lambda rng: _with_trace(_ultrasound(rng), rng)),
        ("x-ray with clips and wires", lambda rng: _with_clips(_x_ray(rng), rng)),
    ]
    return [Picture(name, make(rng)) for name, make in makers]


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _grid_of(centre: Sequence[float], radii: Sequence[float], turn: float = 0.0) -> np.ndarray:
    """Distance from an ellipse's centre, 1 on its outline."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    rows, columns = rows - centre[0], columns - centre[1]
    along = rows * np.cos(turn) + columns * np.sin(turn)
    across = columns * np.cos(turn) - rows * np.sin(turn)
    return np.hypot(along / radii[0], across / radii[1])


def _ct(rng: np.random.Generator) -> np.ndarray:
    """An abdomen: fat, muscle, organs, spine, ribs, table, noise."""
    shift = rng.uniform(-8, 8, 2)
    picture = np.zeros((SIDE, SIDE))
    outline = _grid_of((256 + shift[0], 256 + shift[1]), (170, 225))
    picture[outline < 1] = 70
    picture[outline < 0.9] = 112
    for _ in range(7):
        centre = (rng.uniform(170, 320), rng.uniform(120, 390))
        organ = _grid_of(centre, (rng.uniform(15, 60), rng.uniform(15, 60)), rng.uniform(0, 3))
        picture[organ < 1] = rng.uniform(90, 130)  # grey text over tissue has to be visible
    for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        centre = (256 + 150 * np.sin(angle), 256 + 200 * np.cos(angle))
        picture[_grid_of(centre, (6, 14), angle) < 1] = 235
    picture[_grid_of((370, 256), (28, 34)) < 1] = 220
    picture[_grid_of((385, 256), (9, 9)) < 1] = 120
    picture[448:452, 60:450] = 130
    picture += 7 * ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.7) / 0.4 * (outline < 1.05)
    return _to_uint8(ndimage.gaussian_filter(picture, 0.6))


def _speckle(rng: np.random.Generator) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.standard_normal((2, SIDE, SIDE)), (0, 1.1, 1.8))
    return np.hypot(field[0], field[1]) / np.hypot(field[0], field[1]).mean()


def _ultrasound(rng: np.random.Generator) -> np.ndarray:
    """A sector full of speckle, as the logarithm shows it, with dark vessels; black around it."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    depth, angle = np.hypot(rows - 20, columns - 256), np.arctan2(columns - 256, rows - 20)
    sector = (np.abs(angle) < 0.72) & (depth > 40) & (depth < 465)
    tissue = np.full((SIDE, SIDE), 75.0)
    for number in range(6):
        row = rng.uniform(110, 200) if number % 2 else rng.uniform(420, 450)  # text over tissue has to be visible
        blob = _grid_of((row, rng.uniform(150, 370)), rng.uniform(12, 40, 2), rng.uniform(0, 3)) < 1
        tissue[blob] = rng.choice([8.0, 45.0, 120.0])
    for layer in (90, 200, 330):
        tissue[np.abs(depth - layer - rng.uniform(-20, 20)) < 2.5] = 190
    grains = np.clip(1 + 0.45 * np.log(_speckle(rng)), 0, None)
    return _to_uint8(ndimage.gaussian_filter(tissue, 1.2) * grains * sector)


def _x_ray(rng: np.random.Generator) -> np.ndarray:
    """A chest: soft gradients, lungs, ribs, a collimated border."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    picture = 175 - 60 * np.exp(-(((columns - 256) / 300) ** 2)) + 20 * np.sin(rows / 170)
    for side in (-1, 1):
        lung = _grid_of((250, 256 + side * 105 + rng.uniform(-6, 6)), (165, 78), side * 0.1)
        picture -= 95 / (1 + np.exp((lung - 1) * 12))
    for number in range(9):
        arch = rows - (95 + number * 42 + 22 * ((columns - 256) / 170) ** 2)
        picture += 26 * np.exp(-((arch / 5) ** 2)) * (np.abs(columns - 256) < 205)
    picture += 70 * np.exp(-(((columns - 256) / 24) ** 2))
    picture += 55 / (1 + np.exp((_grid_of((330, 290), (85, 75)) - 1) * 14))
    picture += 5 * ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.8) / 0.35
    border = (rows < 14) | (rows > 497) | (columns < 18) | (columns > 493)
    return _to_uint8(np.where(border, 6, ndimage.gaussian_filter(picture, 0.8)))


def _with_ruler(picture: np.ndarray) -> np.ndarray:
    """A scale with ticks at the right and one at the bottom, as viewers burn in."""
    picture = picture.copy()
    picture[100:401, 490] = 255
    picture[490, 100:401] = 255
    for number, place in enumerate(range(100, 401, 10)):
        length = 12 if number % 5 == 0 else 6
        picture[place, 490 - length : 490] = 255
        picture[490 - length : 490, place] = 255
    return picture


def _with_depth_marks(picture: np.ndarray) -> np.ndarray:
    """Dots of depth, a grey bar, focus marks and a dashed line of measurement."""
    picture = picture.copy()
    picture[60:260, 480:492] = np.linspace(255, 0, 200)[:, None]
    for number, place in enumerate(range(30, 480, 23)):
        size = 3 if number % 5 == 0 else 2
        picture[place : place + size, 470 : 470 + size] = 255
    for place in range(0, 120, 8):
        picture[200 + place : 204 + place, 180 + place : 184 + place] = 255
    for row, column in ((200, 180), (320, 300)):
        picture[row - 5 : row + 6, column] = 255
        picture[row, column - 5 : column + 6] = 255
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).polygon([(462, 150), (462, 162), (468, 156)], fill=255)
    return np.asarray(image)


def _ellipses(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (SIDE, SIDE), 30)
    draw = ImageDraw.Draw(image)
    for _ in range(70):
        column, row, width, height = *rng.integers(0, 480, 2), *rng.integers(4, 60, 2)
        fill = int(rng.integers(0, 256)) if rng.random() < 0.5 else None
        box = [int(column), int(row), int(column + width), int(row + height)]
        draw.ellipse(box, fill=fill, outline=int(rng.integers(60, 256)))
    return np.asarray(image)


def _edges(rng: np.random.Generator) -> np.ndarray:
    """Polygons of high contrast, as metal, collimators and contrast medium make them."""
    image = Image.new("L", (SIDE, SIDE), 0)
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        corners = rng.integers(0, SIDE, 2)[None] + rng.integers(-70, 70, (4, 2))
        draw.polygon([(int(x), int(y)) for x, y in corners], fill=int(rng.choice([0, 90, 160, 255])))
    return np.asarray(image)


def _grid(_: np.random.Generator) -> np.ndarray:
    """A phantom: a grid, groups of bars, rows of holes, steps of grey."""
    picture = np.full((SIDE, SIDE), 60, np.uint8)
    picture[40:240:20, 40:240] = picture[40:240, 40:240:20] = 220
    for group, width in enumerate((2, 3, 5, 8)):
        for bar in range(5):
            left = 280 + bar * 2 * width
            picture[40 + 50 * group : 75 + 50 * group, left : left + width] = 240
    for row in range(4):
        for column in range(12):
            hole = _grid_of((300 + 30 * row, 50 + 34 * column), (2.0 + row, 2.0 + row)) < 1
            picture[hole] = 10
    picture[440:480, 40:472] = np.repeat(np.linspace(0, 255, 12), 36).astype(np.uint8)
    return picture


def _with_trace(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An electrocardiogram below the sector."""
    columns = np.arange(20, 492)
    beat = (columns - 20) % 90
    trace = 486 - 16 * np.exp(-(((beat - 40) / 2.2) ** 2)) + 5 * np.exp(-(((beat - 46) / 2.5) ** 2))
    trace -= 3 * np.exp(-(((beat - 65) / 6) ** 2)) + 0.4 * rng.standard_normal(len(columns))
    image = Image.fromarray(picture)
    points = [(int(column), float(row)) for column, row in zip(columns, trace, strict=True)]
    ImageDraw.Draw(image).line(points, fill=230, width=1)
    return np.asarray(image)


def _with_clips(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Surgical clips, sternal wires and an electrode with its lead."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        column, row = rng.integers(180, 340, 2)
        draw.line([(int(column), int(row)), (int(column + 7), int(row + 3))], fill=250, width=2)
    for row in range(120, 320, 45):
        draw.ellipse([246, row, 266, row + 12], outline=250, width=2)
    draw.line([(90, 60), (140, 130), (150, 260), (220, 300)], fill=240, width=2)
    draw.ellipse([80, 50, 98, 68], outline=250, width=3)
    return np.asarray(image)
