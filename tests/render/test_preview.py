import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, scheme

from medseg.core.errors import GeometryError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.render.preview import comparison, preview

GRID = geometry((40, 30, 20), (1.0, 1.0, 2.5))
ORANGE, BLUE = (structure.colour for structure in scheme().structures)


def labels(grid=GRID, shift=0):
    array = np.zeros(grid.shape, np.uint8)
    array[28 + shift : 36 + shift, 10:20, 8:12] = 1  # on the patient's right (+i is right)
    array[5 + shift : 13 + shift, 10:20, 8:12] = 2
    return LabelMap(array, grid)


def image(grid=GRID):
    return Volume(np.random.default_rng(0).integers(0, 255, (1, *grid.shape)).astype(np.uint8), grid)


def places(picture, colour):
    """Columns of the outline's pixels in the leftmost pane."""
    pixels = np.asarray(picture)[:300, : picture.width // 3]
    return np.flatnonzero((pixels == colour).all(axis=2).any(axis=0))


def test_the_patients_right_is_drawn_at_the_left():
    picture = preview(image(), labels(), scheme())
    assert places(picture, ORANGE).max() < places(picture, BLUE).min()


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
def test_the_picture_does_not_depend_on_how_voxels_are_stored(codes):
    expected = np.asarray(preview(image(), labels(), scheme()))
    drawn = preview(image().reoriented(codes), labels().reoriented(codes), scheme())
    assert (np.asarray(drawn) == expected).all()


def test_pixels_are_as_tall_as_they_are_wide_in_millimetres():
    picture = preview(image(), labels(), scheme())
    # axial 40 x 30 mm, coronal 40 x 50 mm, sagittal 30 x 50 mm at 340 pixels for 50 mm, gaps of 10
    assert picture.width == round(340 * (40 + 40 + 30) / 50) + 4 * 10
    assert picture.height > 340 + 20


def test_a_photograph_is_one_pane_in_its_own_proportions():
    grid = Geometry((60, 30, 1), np.diag([-1.0, -1, 1, 1]), LengthUnit.PIXEL)
    array = np.zeros(grid.shape, np.uint8)
    array[10:20, 5:15] = 1
    picture = preview(image(grid), LabelMap(array, grid), scheme("cell"))
    assert picture.width == 340 + 20


def test_nothing_to_see_is_drawn_through_the_middle():
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    bare = preview(image(), empty, scheme())
    assert bare.height == 340 + 20  # no legend
    assert comparison(image(), empty, empty, scheme()).height > bare.height  # says what is filled


def test_structures_that_overlap_and_regions():
    masks = np.stack([labels().array > 0, labels().array == 1])
    overlapping = MultiLabelMap(masks, GRID, ("whole", "core"))
    regions = LabelScheme(
        scheme("core", "edema").structures, (Region("whole", ("core", "edema")), Region("core", ("core",)))
    )
    drawn = preview(image(), overlapping, regions)
    assert (np.asarray(drawn) == np.asarray(preview(image(), labels(), regions))).all()
    assert comparison(None, overlapping, labels(shift=2), regions).width > 0


def test_a_comparison_looks_where_the_sides_differ():
    wrong = labels().array.copy()
    wrong[20, 5, 3] = 2  # one voxel, in a slice of its own
    drawn = comparison(None, LabelMap(wrong, GRID), labels(), scheme())
    filled = tuple(round(part * 0.45) for part in BLUE)
    assert (np.asarray(drawn) == filled).all(axis=2).any()


def test_ignored_voxels_do_not_count_as_a_difference():
    ignoring = LabelScheme(scheme().structures, ignore=9)
    reference = labels().array.copy()
    reference[:, :, :4] = 9
    same = comparison(image(), labels(), LabelMap(reference, GRID), ignoring)
    assert (np.asarray(same) == np.asarray(comparison(image(), labels(), labels(), ignoring))).all()


def test_other_grids_are_refused():
    with pytest.raises(GeometryError, match=r"different grids: shapes \(40, 30, 20\) and \(7, 8, 9\)"):
        preview(image(), labels(), scheme()) and preview(
            image(), LabelMap(np.zeros((7, 8, 9), np.uint8), geometry()), scheme()
        )
    with pytest.raises(GeometryError, match="different grids"):
        comparison(None, LabelMap(np.zeros((7, 8, 9), np.uint8), geometry()), labels(), scheme())
