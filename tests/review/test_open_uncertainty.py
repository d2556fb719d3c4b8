"""Maps of uncertainty as they were written, or made of probabilities; the entropies are checked against SciPy's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from case_factories import GRID, SCHEME, entropy_file, nifti_case
from factories import geometry, scheme
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from medseg.core.errors import DataError, GeometryError
from medseg.core.volume import Volume
from medseg.io.formats import write_volume
from medseg.review.open_case import open_case, read_uncertainty


def test_an_entropy_map_comes_as_it_is(tmp_path):
    files = nifti_case(tmp_path, uncertainty=entropy_file(tmp_path / "image_entropy.nii.gz"))
    found = read_uncertainty(open_case(files))
    assert np.array_equal(found.array, np.random.default_rng(0).random((1, *GRID.shape), dtype=np.float32))
    assert (found.channels, found.array.dtype) == (("uncertainty",), np.float32)


@given(st.integers(1, 4), st.integers(0, 5))
def test_the_entropy_of_exclusive_targets_is_that_of_all_classes(tmp_path_factory, targets, seed):
    folder = tmp_path_factory.mktemp("case")
    names = scheme(*(f"s{number}" for number in range(targets)))
    shares = np.random.default_rng(seed).dirichlet(np.ones(targets + 1), GRID.shape).astype(np.float32)
    write_volume(folder / "probabilities.nii.gz", Volume(np.moveaxis(shares, -1, 0)[1:], GRID, names.names))
    files = nifti_case(folder, labels=names, uncertainty=folder / "probabilities.nii.gz", reference=None)
    found = read_uncertainty(open_case(files)).array[0]
    assert found == pytest.approx(scipy_entropy(shares, base=targets + 1, axis=-1), abs=1e-4)


def test_the_entropy_of_targets_that_overlap_is_the_mean_of_theirs(tmp_path):
    shares = np.random.default_rng(0).random((2, *GRID.shape), dtype=np.float32)
    write_volume(tmp_path / "a_probabilities.nii.gz", Volume(shares, GRID, SCHEME.names))
    labels = replace(SCHEME, overlapping=True)
    files = nifti_case(tmp_path, scheme=labels, prediction=None, uncertainty=tmp_path / "a_probabilities.nii.gz")
    binary = scipy_entropy(np.stack([shares, 1 - shares]), base=2, axis=0).mean(axis=0)
    assert read_uncertainty(open_case(files)).array[0] == pytest.approx(binary, abs=1e-4)


def test_maps_of_uncertainty_with_other_numbers_or_another_grid_are_refused(tmp_path):
    path = tmp_path / "x_entropy.nii.gz"
    case = open_case(nifti_case(tmp_path, uncertainty=entropy_file(path, geometry((9, 8, 6)))))
    with pytest.raises(GeometryError, match="the map of uncertainty lie on different grids"):
        read_uncertainty(case)
    for odd in (1.5, -1.0, np.nan):
        write_volume(path, Volume(np.full((1, *GRID.shape), odd, np.float32), GRID))
        with pytest.raises(DataError, match="lie between 0 and 1"):
            read_uncertainty(case)
