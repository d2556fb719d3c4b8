"""Surfaces written, read back as voxels, and refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from factories import ball, geometry, scheme

from medseg.core.errors import DataError, InputError, LabelError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.mesh import surface_of, write_surface, write_surfaces
from medseg.io.mesh_read import read_surface, read_surfaces
from medseg.io.voxelise import enclosed_voxels

CUBE = ((0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4), (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6),
        (1, 3, 5), (3, 7, 5))  # fmt: skip


def speckles(shape=(12, 13, 14), share=0.4, seed=0) -> np.ndarray:
    """A mask that holds every case of marching cubes, and touches all borders."""
    return np.random.default_rng(seed).random(shape) < share


def box_corners(low, high) -> np.ndarray:
    """Triangles of a box, LPS mm."""
    points = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)], float)
    return points[np.array(CUBE)]


def ascii_stl(corners: np.ndarray, comment="") -> str:
    facets = (
        "facet normal 0 0 0\nouter loop\n" + "".join(f"vertex {x} {y} {z}\n" for x, y, z in one) + "endloop\nendfacet\n"
        for one in corners
    )
    return f"solid name {comment}\n{''.join(facets)}endsolid name\n"


def overlapping() -> Segmentation:
    masks = np.stack([ball((20,) * 3, (8,) * 3, 5), ball((20,) * 3, (12,) * 3, 5)])
    labels = scheme("kidney left", "kidney_left")
    labels = LabelScheme(labels.structures, overlapping=True)
    return Segmentation(MultiLabelMap(masks, geometry((20, 20, 20)), labels.names), labels)


def grid(shape=(10, 10, 10)) -> Geometry:
    """Grid whose indices are LPS millimetres."""
    return Geometry(shape, np.diag([-1.0, -1.0, 1.0, 1.0]))


@pytest.mark.parametrize("suffix", [".stl", ".obj"])
@pytest.mark.parametrize(("codes", "oblique"), [("RAS", 0.0), ("LPS", 17.0), ("ASL", 17.0), ("PIR", 40.0)])
def test_a_surface_without_smoothing_gives_the_same_voxels(tmp_path, suffix, codes, oblique):
    where = geometry((12, 13, 14), codes=codes, oblique_degrees=oblique)
    for share in (0.1, 0.4, 0.8):
        mask = speckles(where.shape, share)
        path = tmp_path / f"a{suffix}"
        write_surface(path, mask, where, "a", smooth=False)
        assert np.array_equal(read_surface(path, where), mask)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL"])
@pytest.mark.parametrize("smooth", [True, False])
def test_each_edge_is_met_once_each_way_and_normals_face_outwards(codes, smooth):
    where = geometry((12, 13, 14), codes=codes, oblique_degrees=17)
    surface = surface_of(speckles(), where, smooth=smooth)
    triangles = surface.triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {(a, b) for a, b in edges.tolist()} == {(b, a) for a, b in edges.tolist()}
    assert surface.volume > 0


@pytest.mark.parametrize(
    ("mask", "allowed"),
    [
        (ball((40,) * 3, (19.5,) * 3, 15), 0.002),
        (ball((24,) * 3, (11.5,) * 3, 8), 0.005),
        (np.pad(np.ones((30, 20, 25), bool), 3), 0.002),
        (np.pad(np.ones((8, 8, 8), bool), 3), 0.01),
        (ball((12,) * 3, (5.5,) * 3, 4), 0.03),
    ],
)
def test_smoothing_keeps_the_volume(mask, allowed):
    where = geometry(mask.shape, spacing=(0.8, 0.8, 2.5), codes="LAS", oblique_degrees=10)
    smooth, stepped = surface_of(mask, where), surface_of(mask, where, smooth=False)
    wanted = mask.sum() * where.voxel_volume
    assert abs(smooth.volume / wanted - 1) < allowed
    assert abs(smooth.volume / wanted - 1) <= abs(stepped.volume / wanted - 1)


def test_smoothing_moves_the_border_by_less_than_a_voxel(tmp_path):
    mask = ball((40,) * 3, (19.5,) * 3, 15)
    write_surface(tmp_path / "a.stl", mask, geometry(mask.shape), "a")
    again = read_surface(tmp_path / "a.stl", geometry(mask.shape))
    assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.999


def test_binary_stl_is_as_others_read_it(tmp_path):
    mask = np.pad(np.ones((1, 1, 1), bool), 1)
    write_surface(tmp_path / "a.stl", mask, grid((3, 3, 3)), "Milz ä", smooth=False)
    content = (tmp_path / "a.stl").read_bytes()
    assert content[:80].rstrip() == b"medseg SPACE=LPS Milz"
    assert struct.unpack_from("<I", content, 80) == (8,)
    assert len(content) == 84 + 50 * 8
    for number in range(8):
        record = np.array(struct.unpack_from("<12f", content, 84 + 50 * number)).reshape(4, 3)
        corners = record[1:]
        assert np.allclose(np.linalg.norm(corners - 1, axis=1), 0.5)
        assert np.allclose(record[0] * np.sqrt(3), np.sign(corners.mean(axis=0) - 1), atol=1e-6)


def test_structures_become_one_stl_file_each_and_come_back(tmp_path):
    segmentation = overlapping()
    files = write_surfaces(tmp_path / "out", segmentation, smooth=False)
    assert [path.name for path in files] == ["kidney_left.stl", "kidney_left_2.stl"]
    again = read_surfaces(tmp_path / "out", segmentation.geometry)
    assert again.scheme.names == ("kidney_left", "kidney_left_2")
    assert again.scheme.overlapping
    assert np.array_equal(again.labels.array, segmentation.labels.array)


def test_structures_become_groups_of_one_obj_file_and_come_back_with_colours(tmp_path):
    values = np.zeros((9, 9, 9), np.uint8)
    values[1:4, 2:8, 3:5], values[5:8, 2:8, 3:5] = 4, 7
    structures = (Structure("a b", 4, (1, 200, 3)), Structure("gone", 5, (9, 9, 9)), Structure("c", 7, (250, 0, 7)))
    segmentation = Segmentation(LabelMap(values, geometry((9, 9, 9))), LabelScheme(structures))
    files = write_surfaces(tmp_path / "my labels.obj", segmentation, smooth=False)
    assert [path.name for path in files] == ["my labels.obj", "my labels.mtl"]
    again = read_surfaces(files[0], segmentation.geometry)
    assert [(one.name, one.value, one.colour) for one in again.scheme.structures] == [
        ("a_b", 1, (1, 200, 3)),
        ("c", 2, (250, 0, 7)),
    ]
    assert np.array_equal(again.labels.array, np.select([values == 4, values == 7], [1, 2]))
    files[1].unlink()
    assert read_surfaces(files[0], segmentation.geometry).scheme.structures[0].colour == (230, 159, 0)


def test_a_box_holds_the_centres_between_its_faces(tmp_path):
    path = tmp_path / "box.stl"
    path.write_text(ascii_stl(box_corners((1.5, 2.0, -7.0), (4.5, 5.0, 3.0))))
    wanted = np.zeros((10, 10, 10), bool)
    wanted[2:5, 2:5, 0:3] = True  # a centre on a face belongs to the side of larger indices
    assert np.array_equal(read_surface(path, grid()), wanted)


def test_what_lies_beyond_the_grid_is_not_seen():
    everything = enclosed_voxels(box_corners((-900, -900, -900), (900, 900, 900)), grid())
    assert everything.all()
    assert not enclosed_voxels(box_corners((-9, -9, 20), (9, 9, 30)), grid()).any()
    assert not enclosed_voxels(box_corners((-9, -9, -9), (-2, -2, -2)), grid()).any()


def test_an_oblique_tetrahedron_against_its_half_spaces():
    rng = np.random.default_rng(3)
    where = geometry((30, 31, 32), spacing=(1.0, 0.7, 1.3), codes="SPL", oblique_degrees=23)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ where.affine
    centres = np.indices(where.shape).reshape(3, -1).T @ lps[:3, :3].T + lps[:3, 3]
    points = centres.mean(axis=0) + rng.normal(size=(4, 3)) * 20
    faces = np.array([(0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)])
    inside = np.ones(len(centres), bool)
    for face in faces:
        first, second, third = points[face]
        normal = np.cross(second - first, third - first)
        opposite = points[6 - face.sum()]
        inside &= np.sign((centres - first) @ normal) == np.sign((opposite - first) @ normal)
    mask = enclosed_voxels(points[faces], where)
    assert mask.sum() > 100
    assert np.array_equal(mask.ravel(), inside)


@pytest.mark.parametrize("comment", ["SPACE=RAS", "space = ras"])
def test_a_file_in_ras_is_turned(tmp_path, comment):
    corners = box_corners((1.5, 1.5, 1.5), (4.5, 4.5, 4.5))
    turned = corners * (-1, -1, 1)
    (tmp_path / "a.stl").write_text(ascii_stl(turned, comment))
    lines = "".join(f"v {x} {y} {z}\n" for x, y, z in turned.reshape(-1, 3))
    faces = "".join(f"f {n} {n + 1} {n + 2}\n" for n in range(1, 37, 3))
    (tmp_path / "a.obj").write_text(f"# {comment}\n{lines}{faces}")
    record = np.zeros(12, np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")]))
    record["c"] = turned
    (tmp_path / "b.stl").write_bytes(comment.encode().ljust(80) + struct.pack("<I", 12) + record.tobytes())
    for name in ("a.stl", "a.obj", "b.stl"):
        assert read_surface(tmp_path / name, grid()).sum() == 27
    assert read_surfaces(tmp_path / "a.obj", grid()).scheme.names == ("a",)


def test_obj_as_others_write_it(tmp_path):
    cube = [(1.5 + 3 * (bit & 1), 1.5 + 3 * (bit >> 1 & 1), 1.5 + 3 * (bit >> 2)) for bit in range(8)]
    quads = ("1/1/1 3/1/1 4/1/1 2/1/1", "5//2 6//2 8//2 7//2", "-8 -7 -3 -4", "3 7 8 4", "1 5 7 3", "2 4 8 6")
    text = "mtllib missing.mtl\nmtllib ../a.mtl\nvn 0 0 1\n" + "".join(f"v {x} {y} {z} 1.0\r\n" for x, y, z in cube)
    text += "o thing one\nusemtl red\n" + "".join(f"f {quad}\n" for quad in quads) + "g empty\n"
    (tmp_path / "a.obj").write_text(text)
    assert read_surfaces(tmp_path / "a.obj", grid()).scheme.names == ("thing one",)
    assert read_surface(tmp_path / "a.obj", grid()).sum() == 27


def test_files_of_one_name_and_hidden_ones(tmp_path):
    for name in ("a.stl", "a.STL"):
        (tmp_path / name).write_text(ascii_stl(box_corners((1.5,) * 3, (4.5,) * 3)))
    (tmp_path / ".hidden.stl").write_text("x")
    assert read_surfaces(tmp_path / "a.stl", grid()).scheme.names == ("a",)
    assert read_surfaces(tmp_path, grid()).scheme.names == ("a", "a 2")


OPEN = ascii_stl(box_corners((1.5,) * 3, (4.5,) * 3)[:-1])
VERTICES = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", b"", "is no STL file, or not whole: 0 bytes do not hold the 0 triangles of its header"),
        ("a.stl", b"x" * 84, "is no STL file, or not whole: 84 bytes do not hold the 2021161080 triangles"),
        ("a.stl", b"solid nothing\nendsolid", "its triangles are damaged: 0 coordinates, 9 make a triangle"),
        ("a.stl", b"solid\nvertex 1 2 3\n", "its triangles are damaged: 3 coordinates"),
        ("a.stl", b"solid\nvertex 1 2 x\n", "truncated or damaged"),
        ("a.stl", b"solid " + b"x" * 70_000, "a line is longer than 65536 bytes"),
        ("a.stl", OPEN.encode(), "surface 1 is not closed: 3 edges border a hole; fill holes before"),
        ("a.stl", OPEN.replace("4.5", "nan").encode(), "surface 1 holds a coordinate that is not finite"),
        ("a.stl", OPEN.replace("4.5", "1e9").encode(), "surface 1 lies 1000000000 voxels away from the grid; is it in"),
        ("a.obj", b"v 0 0 0\n", "holds no surface"),
        ("a.obj", b"v 1 2\nv 0 0 1\nf 1 2 3\n", "truncated or damaged"),
        ("a.obj", VERTICES.encode() + b"f 1 2\n", "a face has 2 corners; 3 to 1000 are read"),
        ("a.obj", VERTICES.encode() + b"f 1 2 5\n", "a face names a vertex that is not among its 4"),
        ("a.obj", VERTICES.encode() + b"f 0 1 2\n", "a face names a vertex that is not among its 4"),
        ("a.obj", VERTICES.encode() + b"f -9 1 2\n", "a face names a vertex that is not among its 4"),
        ("a.obj", b"".join(b"g %d\nf 1 2 3\n" % n for n in range(255)), "holds more than 254 groups, the limit"),
    ],
)
def test_hostile_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"^{name}: {message}"):
        read_surfaces(tmp_path / name, grid())


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("mesh_read.LARGEST_DECODED", 999, "holds more structures than fit into memory on this grid; read them one"),
        ("mesh_read._MOST_TRIANGLES", 11, "a.stl: holds more than 11 triangles, the limit; reduce it first"),
        ("mesh_read._LARGEST_FILE", 100, "a.stl: a surface file is 0 MiB; at most 0 MiB are read"),
        ("voxelise._MOST_CANDIDATES", 9, "surface 1 has triangles so large and many that 36 crossings would have to"),
    ],
)
def test_limits(tmp_path, monkeypatch, limit, value, message):
    (tmp_path / "a.stl").write_text(ascii_stl(box_corners((1.5,) * 3, (4.5,) * 3)))
    monkeypatch.setattr(f"medseg.io.{limit}", value)
    with pytest.raises(DataError, match=message):
        read_surfaces(tmp_path / "a.stl", grid())


def test_many_rays_are_looked_at_in_parts(monkeypatch):
    monkeypatch.setattr("medseg.io.voxelise._AT_ONCE", 7)
    mask = speckles((6, 7, 8))
    surface = surface_of(mask, grid(mask.shape), smooth=False)
    assert np.array_equal(enclosed_voxels(surface.vertices[surface.triangles], grid(mask.shape)), mask)


def test_what_cannot_be_written_or_found(tmp_path):
    empty = np.zeros((3, 3, 3), bool)
    with pytest.raises(LabelError, match="an empty structure has no surface"):
        write_surface(tmp_path / "a.stl", empty, grid((3, 3, 3)), "a")
    with pytest.raises(InputError, match=r"surfaces are written as \.stl or \.obj, not as '\.ply'"):
        write_surface(tmp_path / "a.ply", ~empty, grid((3, 3, 3)), "a")
    segmentation = Segmentation(LabelMap(empty.astype(np.uint8), grid((3, 3, 3))), scheme())
    for name in ("folder", "a.obj"):
        with pytest.raises(LabelError, match="all structures are empty, so there is no surface to write"):
            write_surfaces(tmp_path / name, segmentation)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ReadError, match="holds 0 STL files; 1 to 254 are read"):
        read_surfaces(tmp_path, grid())
