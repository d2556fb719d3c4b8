"""The arithmetic of the drawing tools, run by Node and compared with other programs."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from medseg_viewer import asset_folder
from medseg_viewer.build import npm_command
from medseg_viewer.scene import OWN_KEYS
from scipy import ndimage
from skimage import draw

_NODE = npm_command()
pytestmark = pytest.mark.skipif(_NODE is None, reason="needs Node")
_SOURCES = asset_folder().parent / "src"


def run(script: str, **values):
    """What a script returns; the values are its variables."""
    names = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    text = f"{names}const result = await (async () => {{ {script} }})();\nconsole.log(JSON.stringify(result));"
    done = subprocess.run(
        [_NODE[0], "--input-type=module", "-e", text], cwd=_SOURCES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_INTO_MASK = """
const mask = new Array(size[0] * size[1]).fill(0);
const put = (u, v) => { mask[v * size[0] + u] = 1; };
"""


def test_a_polygon_holds_the_voxels_whose_centres_are_inside():
    corners = [[3.2, 4.1], [30.7, 2.3], [22.4, 17.9], [33.3, 28.2], [8.8, 25.6], [14.9, 14.2]]
    mask = run(
        f"const {{ polygon }} = await import('./shapes.js'); {_INTO_MASK} polygon(points, size, put); return mask;",
        points=corners,
        size=[40, 32],
    )
    expected = draw.polygon2mask((32, 40), np.subtract(corners, 0.5)[:, ::-1])  # there centres are whole numbers
    assert np.array_equal(np.reshape(mask, (32, 40)), expected)


def test_an_ellipse_fills_its_box():
    mask = run(
        f"const {{ ellipse }} = await import('./shapes.js'); {_INTO_MASK}"
        "ellipse([4, 6], [29, 20], size, put); return mask;",
        size=[40, 32],
    )
    rows, columns = draw.ellipse(12.5, 16, 7, 12.5, shape=(32, 40))
    expected = np.zeros((32, 40))
    expected[rows, columns] = 1
    assert np.array_equal(np.reshape(mask, (32, 40)), expected)


@pytest.mark.parametrize(("spacing", "radius"), [([1.0, 1.0], 4.0), ([0.7, 2.5], 5.0), ([1.0, 1.0], 0.5)])
def test_a_stroke_is_as_wide_as_its_brush_in_millimetres(spacing, radius):
    start, end = (6.3, 7.8), (28.1, 20.4)
    mask = run(
        f"const {{ stroke }} = await import('./shapes.js'); {_INTO_MASK}"
        "stroke(a, b, radius, spacing, size, put); return mask;",
        a=start,
        b=end,
        radius=radius,
        spacing=spacing,
        size=[40, 32],
    )
    v, u = np.indices((32, 40)) + 0.5
    along = np.linspace(0, 1, 4001)
    line = [(start[axis] + along * (end[axis] - start[axis])) * spacing[axis] for axis in (0, 1)]
    distance = np.full((32, 40), np.inf)
    for x, y in zip(*line, strict=True):
        np.minimum(distance, np.hypot(u * spacing[0] - x, v * spacing[1] - y), out=distance)
    found = np.reshape(mask, (32, 40)).astype(bool)
    assert found[distance < radius - 0.01].all()
    beside = found & (distance > radius + 0.01)
    assert {tuple(place) for place in np.argwhere(beside)} <= {(7, 6), (20, 28)}  # at least the voxels of its ends


def test_distances_are_those_of_scipy():
    mask = np.random.default_rng(3).random((21, 34)) > 0.7
    found = run(
        "const { signedDistance } = await import('./between.js');"
        "return [...signedDistance(Uint8Array.from(mask), size, spacing)];",
        mask=mask.astype(int).ravel().tolist(),
        size=[34, 21],
        spacing=[0.8, 1.7],
    )
    inside = ndimage.distance_transform_edt(mask, (1.7, 0.8))
    outside = ndimage.distance_transform_edt(~mask, (1.7, 0.8))
    assert np.allclose(np.reshape(found, mask.shape), inside - outside)


def test_between_two_discs_lies_a_disc_between_them():
    def disc(centre, radius):
        v, u = np.indices((48, 64))
        return ((u - centre[0]) ** 2 + (v - centre[1]) ** 2 <= radius**2).astype(int)

    low, high = disc((16, 20), 6), disc((44, 24), 12)
    found = run(
        "const { masksBetween } = await import('./between.js');"
        "const masks = masksBetween(Uint8Array.from(low), Uint8Array.from(high), [64, 48], [1, 1], 3);"
        "return masks.map((mask) => [...mask]);",
        low=low.ravel().tolist(),
        high=high.ravel().tolist(),
    )
    for n, mask in enumerate(np.reshape(found, (3, 48, 64)), start=1):
        expected = disc((16 + 7 * n, 20 + n), 6 + 1.5 * n)
        overlap = 2 * (mask & expected).sum() / (mask.sum() + expected.sum())
        assert overlap > 0.93


def test_a_region_is_what_hangs_together_with_the_seed():
    rng = np.random.default_rng(5)
    image = ndimage.gaussian_filter(rng.normal(size=(14, 16, 18)), 1.2) * 100
    seed, tolerance = (8, 7, 6), 6
    near = [seed, (7, 7, 6), (9, 7, 6), (8, 6, 6), (8, 8, 6), (8, 7, 5), (8, 7, 7)]
    middle = np.mean([image[place] for place in near])
    labelled, _ = ndimage.label(abs(image - middle) <= tolerance)
    found = run(
        "const { grow } = await import('./grow.js');"
        "const region = grow(seed, dims, (n) => image[n], () => true, { tolerance, across: null });"
        "return [region.indices, region.box, region.isCut];",
        image=image.ravel("F").tolist(),
        dims=list(image.shape),
        seed=list(seed),
        tolerance=tolerance,
    )
    mask = np.zeros(image.size, bool)
    mask[found[0]] = True
    expected = labelled == labelled[seed] if labelled[seed] else np.zeros(image.shape, bool)
    assert expected.any()
    assert np.array_equal(mask.reshape(image.shape, order="F"), expected)
    places = np.argwhere(expected)
    assert found[1:] == [[places.min(0).tolist(), places.max(0).tolist()], False]


def test_twenty_steps_and_more_are_taken_back_and_made_again():
    found = run(
        """
        const { Edit, History } = await import('./history.js');
        const bitmap = new Uint8Array(500);
        const history = new History();
        const states = [[...bitmap]];
        let seed = 7;
        const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n; };
        for (let step = 0; step < 40; step++) {
          const edit = new Edit('paint', bitmap);
          const value = random(4);
          for (const start of [random(480), random(480)]) for (let i = 0; i < 20; i++) edit.put(start + i, value);
          if (history.add(edit, null)) states.push([...bitmap]);
        }
        const same = (n) => states[n].every((value, i) => value === bitmap[i]);
        const back = [], again = [];
        for (let n = states.length - 2; n >= 0; n--) { history.undo(bitmap); back.push(same(n)); }
        const isEnd = history.undo(bitmap) === undefined;
        for (let n = 1; n < states.length; n++) { history.redo(bitmap); again.push(same(n)); }
        return [back.length, back.every(Boolean), isEnd, again.every(Boolean), history.redo(bitmap) === undefined];
        """
    )
    assert found[0] > 20
    assert found[1:] == [True, True, True, True]


def test_a_new_stroke_ends_what_could_be_made_again():
    assert run(
        """
        const { Edit, History } = await import('./history.js');
        const bitmap = new Uint8Array(9);
        const history = new History();
        const put = (n, value) => {
          const edit = new Edit('', bitmap);
          edit.put(n, value);
          return history.add(edit, null);
        };
        const added = [put(1, 2), put(1, 2)];
        history.undo(bitmap);
        put(3, 1);
        return [added, history.redo(bitmap) === undefined, [...bitmap]];
        """
    ) == [[True, False], True, [0, 0, 0, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "LIA"])
def test_a_voxel_finds_back_to_the_original_grid(codes):
    shape = (5, 6, 7)
    axes = [next(n for n, letter in enumerate(codes) if letter in pair) for pair in ("RL", "AP", "SI")]
    found = run(
        "const { Grid, Counting } = await import('./planes.js');"
        "const grid = Grid.ofCodes(shape, codes);"
        "const { start, steps } = grid.fileSteps();"
        "const voxel = [1, 2, 3];"
        "const offset = start + voxel.reduce((sum, v, axis) => sum + v * steps[axis], 0);"
        "const counting = new Counting({ shape, orientation: codes });"
        "const file = grid.toFile(voxel);"
        "const counted = [counting.indexOf('coronal', file), counting.count('axial')];"
        "return [grid.dims, file, offset, grid.fromFile(file), ...counted];",
        shape=shape,
        codes=codes,
    )
    file = [0, 0, 0]
    for axis, v in enumerate((1, 2, 3)):
        n = axes[axis]
        file[n] = v if codes[n] in "RAS" else shape[n] - 1 - v
    assert found[0] == [shape[n] for n in axes]
    assert found[1] == file
    assert found[2] == np.ravel_multi_index(file, shape, order="F")
    assert found[3:] == [[1, 2, 3], shape[axes[1]] - 1 - 2, shape[axes[2]]]


def test_the_last_blocks_of_a_copy_may_not_be_full():
    found = run(
        "const { Grid } = await import('./planes.js');"
        "const grid = new Grid([3, 4, 2], [-1, 2, 3], [2, 2, 1], [5, 7, 2]);"
        "return [grid.toOriginal([0, 3, 1]), grid.fromOriginal([4, 6, 1]), grid.fromOriginal([0, 0, 0])];"
    )
    assert found == [[4, 6, 1], [0, 3, 1], [2, 0, 0]]


def test_python_knows_the_keys():
    keys = run(
        "const { COMMANDS } = await import('./commands.js');"
        "return COMMANDS.flatMap(({ key, otherKey }) => [key, otherKey]).filter(Boolean);"
    )
    assert len(keys) == len(set(keys))
    assert set(keys) | set("123456789rc") == OWN_KEYS
