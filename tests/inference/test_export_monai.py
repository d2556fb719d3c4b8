"""Models as MONAI bundles, loaded by MONAI."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import bundle, geometry, volume

from medseg.core.errors import InputError
from medseg.core.geometry import Geometry
from medseg.core.messages import hush_mlflow
from medseg.core.volume import Volume
from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.export_forms import ExportForm, write_network
from medseg.inference.export_monai import write_monai_config
from medseg.inference.predictor import Predictor
from medseg.inference.runtime import input_shape
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import write_volume

pytestmark = [
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),  # whatever MONAI reads
    pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:DeprecationWarning"),  # MONAI's bundles need it
]
FP32 = PredictionSettings("cpu", "fp32", runtime="torch")
CT = {"name": "CT", "intensity": "ct", "clip": (-100.0, 200.0), "mean": 20.0, "std": 80.0}
BYTES = {"name": "red", "intensity": "unit"}


def written(folder, made):
    write_monai_config(folder, made)
    member = made.members[0]
    write_network(ExportForm.MONAI_BUNDLE, member.network, input_shape(member, member.config.sampling.patch), folder)
    return folder


def parsed(folder, images):
    hush_mlflow()
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser.read_meta(str(folder / "configs" / "metadata.json"))
    parser["bundle_root"], parser["dataset_dir"], parser["device"] = str(folder), str(images), "$torch.device('cpu')"
    return parser


def labels_by_monai(folder, images):
    """What MONAI makes of the first image: all that the bundle says, but for writing."""
    parser = parsed(folder, images)
    post = parser["postprocessing"]["transforms"]
    parser["postprocessing"]["transforms"] = [one for one in post if one["_target_"] != "SaveImaged"]
    with torch.no_grad():
        item = parser.get_parsed_content("dataset")[0]
        network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
        item["pred"] = inferer(item["image"][None], network)[0]
        return parser.get_parsed_content("postprocessing")(item)["pred"][0].numpy()


@pytest.mark.parametrize(
    ("channels", "changes"),
    [
        ([CT], {}),
        ([{"name": "T1"}, BYTES], {}),
        ([{"name": "T1"}], {"dims": 2}),
        ([{"name": "T1"}], {"preprocessing": {"orientation": "LPS", "spacing": (1.0, 1.0, 1.0), "crop": "nonzero"}}),
    ],
    ids=["ct", "two channels", "slices", "turned"],
)
def test_monai_predicts_the_same_labels(tmp_path, channels, changes):
    torch.manual_seed(0)
    made = bundle(channels=channels, **changes)
    names = tuple(channel["name"] for channel in channels)
    image = volume(geometry((16, 16, 16), (1.0, 1.0, 1.0)), names)
    (tmp_path / "images").mkdir()
    for number, values in enumerate(image.array):
        path = tmp_path / "images" / f"case_{number:04d}.nii.gz"
        write_volume(path, Volume(values[None].astype(np.float32), image.geometry))
    (tmp_path / "bundle").mkdir()
    found = labels_by_monai(written(tmp_path / "bundle", made), tmp_path / "images")
    wanted = Predictor(made, FP32).predict(image).labels.array
    assert np.mean(found == wanted) > 0.999
    assert len(np.unique(wanted)) > 1


def test_values_are_those_of_the_scheme(tmp_path):
    torch.manual_seed(0)
    structures = [{"name": "one", "value": 3}, {"name": "two", "value": 7}]
    made = bundle(labels={"structures": structures})
    image = volume(Geometry.from_spacing((16, 16, 16)))
    (tmp_path / "images").mkdir()
    write_volume(tmp_path / "images" / "case_0000.nii.gz", image)
    (tmp_path / "bundle").mkdir()
    found = labels_by_monai(written(tmp_path / "bundle", made), tmp_path / "images")
    assert set(np.unique(found)) <= {0, 3, 7}
    assert np.mean(found == Predictor(made, FP32).predict(image).labels.array) > 0.999


def test_names_are_never_taken_for_code(tmp_path):
    channels, structures = [{"name": "$__import__('os').abort()"}], [{"name": "@device%x", "value": 1}]
    made = bundle(channels=channels, labels={"structures": structures}, name="$1/0")
    write_monai_config(tmp_path, made)
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    assert metadata["name"] == "1/0"
    assert not any(sign in json.dumps(metadata) for sign in "$@%")
    assert "abort" not in (tmp_path / "configs" / "inference.json").read_text()


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: ensemble([bundle(), bundle()]), "holds one network, this model has 2"),
        (
            lambda: bundle(preprocessing={"spacing": (1.0, 1.0, 1.0), "resample_slices": False}),
            "cannot leave one axis as it is",
        ),
        (lambda: bundle(preprocessing={"orientation": "kji"}), "cannot reorder a file's own axes"),
        (
            lambda: replace(
                bundle(labels={"structures": [{"name": "one", "value": 1}], "overlapping": True}),
                calibration=Calibration(thresholds={"one": 0.3}),
            ),
            "has one threshold, 0.5, this model has others",
        ),
    ],
)
def test_what_monai_has_no_words_for_is_refused(tmp_path, made, sentence):
    with pytest.raises(InputError, match=sentence):
        write_monai_config(tmp_path, made())


def test_overlapping_structures_have_a_threshold_each(tmp_path):
    made = bundle(labels={"structures": [{"name": "one", "value": 1}], "overlapping": True})
    write_monai_config(tmp_path, replace(made))
    steps = json.loads((tmp_path / "configs" / "inference.json").read_text())["postprocessing"]["transforms"]
    assert steps[0]["sigmoid"] is True
    assert steps[2]["threshold"] == 0.5
