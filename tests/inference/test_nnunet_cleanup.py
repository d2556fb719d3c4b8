"""nnU-Net's clean-up."""

from __future__ import annotations

import json

import pytest

from medseg.core.errors import BundleError
from medseg.core.labels import LabelScheme
from medseg.data.structures import scheme_from_values
from medseg.inference.nnunet_cleanup import read_clean_up

STEP = "remove_all_but_largest_component_from_segmentation"
SCHEME = LabelScheme.from_names({"one": 1, "two": 2, "three": 3})
REGIONS = scheme_from_values({"whole": (1, 2, 3), "core": (2, 3), "inner": 3}, "dataset.json")


def written(tmp_path, *groups, **changes):
    arguments = [{"labels_or_regions": group} for group in groups]
    content = {"postprocessing_fns": [STEP] * len(groups), "postprocessing_kwargs": arguments, "input_folder": {}}
    path = tmp_path / "postprocessing.json"
    path.write_text(json.dumps(content | changes))
    return path


def test_structures_alone_and_together(tmp_path):
    found = read_clean_up(written(tmp_path, [1, 2, 3], 1, [3]), SCHEME)
    assert found.largest_together == (("one", "two", "three"),)
    assert found.largest_component == ("one", "three")


def test_an_odd_order_is_kept(tmp_path):
    found = read_clean_up(written(tmp_path, 1, [1, 2]), SCHEME)
    assert found.largest_together == (("one",), ("one", "two"))
    assert found.largest_component == ()


def test_nothing_found_is_nothing_done(tmp_path):
    found = read_clean_up(written(tmp_path), SCHEME)
    assert (found.largest_together, found.largest_component) == ((), ())


def test_regions(tmp_path):
    found = read_clean_up(written(tmp_path, [1, 2, 3], [2, 3], [[3]]), REGIONS)
    assert found.largest_together == (("whole",), ("core",), ("inner",))
    overlapping = scheme_from_values({"left": (1, 2), "right": (2, 3)}, "dataset.json")
    assert read_clean_up(written(tmp_path, [1, 2, 3]), overlapping).largest_together == (("left", "right"),)


def test_what_is_refused(tmp_path):
    with pytest.raises(BundleError, match="holds steps that are not known here: os_system"):
        read_clean_up(written(tmp_path, 1, postprocessing_fns=["os_system"]), SCHEME)
    with pytest.raises(BundleError, match="not known here: without arguments"):
        read_clean_up(written(tmp_path, 1, postprocessing_kwargs=[]), SCHEME)
    with pytest.raises(BundleError, match=r"keeps the largest component of labels \[1, 7\], which the model does not"):
        read_clean_up(written(tmp_path, [1, 7]), SCHEME)
    with pytest.raises(BundleError, match=r"keeps the largest component of labels \[1, 3\], which the model does not"):
        read_clean_up(written(tmp_path, [1, 3]), REGIONS)
    (tmp_path / "postprocessing.json").write_text("[]")
    with pytest.raises(BundleError, match="the nnU-Net model's clean-up cannot be read: .* no JSON object"):
        read_clean_up(tmp_path / "postprocessing.json", SCHEME)
