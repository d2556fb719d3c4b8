"""Which series may show a face, by their headers."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.core.geometry import Geometry
from medseg.deid.faces import is_head


def grid(shape=(176, 256, 256), spacing=(1.0, 1.0, 1.0), codes="RAS") -> Geometry:
    return Geometry.from_spacing(shape, spacing).reoriented(codes)


@pytest.mark.parametrize(
    ("body_part", "description"),
    [
        ("HEAD", ""),
        ("BRAIN", "t1 sag"),
        ("SKULL", ""),
        ("HEADNECK", ""),
        ("WHOLEBODY", ""),
        ("", "T2FLAIR"),
        ("", "t1_mprage_sag_p2_iso"),
        ("", "MP2RAGE UNI"),
        ("", "FH-HEADBrain Protocols"),
        ("ABDOMEN", "brain 3d"),
        ("Kopf", ""),
        ("", "Schädel nativ"),
        ("", "crâne"),
        ("", "cabeza"),
        ("", "IAC 3D"),
        ("", "orbits"),
    ],
)
def test_words_that_name_a_head(body_part, description):
    assert is_head("MR", body_part, description, grid())
    assert is_head("CT", body_part, description, grid(spacing=(0.5, 0.5, 0.6), shape=(512, 512, 300)))


@pytest.mark.parametrize(
    ("body_part", "description"),
    [
        ("KNEE", ""),
        ("ABDOMEN", "t1 vibe"),
        ("", "knee"),
        ("LSPINE", "facet joints"),
        ("CSPINE", "t2 sag"),
        ("SURFACE COIL", "x"),
        ("BREAST", "dyn"),
    ],
)
def test_other_parts_are_no_heads(body_part, description):
    wide = grid((340, 340, 180))
    assert not is_head("MR", body_part, description, wide)


def test_only_ct_mr_and_pet():
    assert is_head("PT", "HEAD", "", grid(spacing=(2, 2, 2), shape=(128, 128, 90)))
    for modality in ("US", "NM", "SEG", "RTSTRUCT", "", "OT"):
        assert not is_head(modality, "HEAD", "brain", grid())


def test_without_a_part_the_field_of_view_decides():
    for part in ("", "UNKNOWN", "OTHER", "n/a"):
        assert is_head("MR", part, "t1", grid())
    assert not is_head("MR", "", "t1", grid((400, 400, 200)))
    assert not is_head("MR", "", "t1", grid((140, 140, 100)))


def test_a_series_that_is_no_volume_counts_unless_another_part_is_named():
    assert is_head("MR", "BRAIN", "localizer", None)
    assert is_head("MR", "", "t1", None)
    assert not is_head("MR", "KNEE", "t1", None)
    assert not is_head("US", "", "t1", None)


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((256, 256, 60), (1.0, 1.0, 3.0), True),
        ((256, 256, 40), (1.0, 1.0, 5.0), False),
        ((256, 256, 9), (1.0, 1.0, 3.0), False),
        ((20, 256, 256), (5.0, 1.0, 1.0), True),
        ((1, 256, 256), (5.0, 1.0, 1.0), True),
        ((256, 20, 256), (1.0, 5.0, 1.0), False),
        ((60, 80, 60), (3.5, 3.5, 3.5), False),
        ((35, 51, 32), (1.0, 1.0, 1.0), False),
    ],
)
def test_slices_have_to_be_fine_or_sagittal_and_large_enough(shape, spacing, expected):
    for codes in ("RAS", "LPS", "PIR", "SRA"):
        assert is_head("MR", "HEAD", "", grid(shape, spacing, codes)) is expected


def test_oblique_slices_are_named_after_the_nearest_axis():
    affine = np.diag([5.0, 1.0, 1.0, 1.0])
    turn = np.deg2rad(20)
    affine[:3, :3] = (
        np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ affine[:3, :3]
    )
    assert is_head("MR", "HEAD", "", Geometry((20, 256, 256), affine))
