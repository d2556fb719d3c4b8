import numpy as np

from medseg.core.labels import LabelScheme, Region, palette_colour
from medseg.render.overlay import Layer, outline, overlay, target_colours


def block():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    return mask


def test_outline_is_one_pixel_wide():
    edge = outline(block())
    assert edge.sum() == 16
    assert not edge[3:6, 3:6].any()


def test_the_frame_of_the_picture_is_no_edge():
    assert not outline(np.ones((4, 4), bool)).any()


def test_fill_mixes_and_outline_covers():
    grey = np.full((9, 9, 3), 100, np.uint8)
    drawn = overlay(grey, [Layer(block(), (200, 0, 100), 0.5)])
    assert drawn[4, 4].tolist() == [150, 50, 100]
    assert drawn[2, 2].tolist() == [200, 0, 100]
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert (grey == 100).all()


def test_outlines_lie_above_later_fills():
    grey = np.zeros((9, 9, 3), np.uint8)
    drawn = overlay(
        grey, [Layer(block(), (250, 0, 0), 0.0), Layer(np.ones((9, 9), bool), (0, 0, 200), 1.0, has_outline=False)]
    )
    assert drawn[2, 2].tolist() == [250, 0, 0]
    assert drawn[4, 4].tolist() == [0, 0, 200]


def test_structures_keep_their_colours_and_regions_get_the_palettes():
    scheme = LabelScheme.from_names({"core": 1, "edema": 2})
    assert list(target_colours(scheme).values()) == [one.colour for one in scheme.structures]
    regions = LabelScheme(scheme.structures, (Region("whole", ("core", "edema")), Region("core", ("core",))))
    assert target_colours(regions) == {"whole": palette_colour(0), "core": scheme["core"].colour}
