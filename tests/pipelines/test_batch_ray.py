"""The whole of a batch on a cluster of two nodes gives what one machine gives."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from batch_studies import CPU, write_key, write_model, write_study
from factories import bundle
from ray_cluster import two_nodes

from medseg.batch.engine import Limits
from medseg.batch.manifest import read_manifest
from medseg.batch.outputs import ResultForm
from medseg.batch.records import Status
from medseg.batch.session import BatchOptions, EngineName
from medseg.batch.work import STUDIES
from medseg.pipelines.batch import predict_studies

pytest.importorskip("ray", reason="needs Ray, from the extra ray")

UIDS = [f"1.2.826.0.1.3680043.8.498.9{number}" for number in range(4)]


def outcomes(output: Path) -> dict[str, object]:
    """What each study was found to hold."""
    with read_manifest(output) as manifest:
        return {row.result.name: (row.result.status, row.attempts, row.result.measured) for row in manifest.rows()}


def label_maps(output: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = sorted((output / STUDIES).rglob("*.nii.gz"))
    images = {str(path.relative_to(output)): nibabel.load(path) for path in found}
    return {name: (np.asanyarray(image.dataobj), image.affine) for name, image in images.items()}


@pytest.mark.slow
def test_a_cluster_finds_what_this_machine_finds(tmp_path, monkeypatch):
    for number, uid in enumerate(UIDS):
        write_study(tmp_path / "in" / str(number), low=-1000 + 150 * number, StudyInstanceUID=uid)
    model = write_model(tmp_path / "model", bundle(channels=[{"name": "CT"}]))
    here = BatchOptions(
        (ResultForm.NIFTI,), CPU, key=write_key(tmp_path / "project.key"), limits=Limits(0, seconds=300.0)
    )
    predict_studies(model, tmp_path / "in", tmp_path / "here", here)
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
    monkeypatch.chdir(tmp_path)  # a relative folder means another one in the workers
    with two_nodes() as nodes:
        there = BatchOptions(
            here.forms, CPU, key=here.key, limits=here.limits, engine=EngineName.RAY, cluster=nodes.address
        )
        run = predict_studies(Path("model"), Path("in"), Path("there"), there)
        again = predict_studies(Path("model"), Path("in"), Path("there"), there)
    assert (run.counts, run.ended, again.ended) == ({Status.DONE: 4}, 4, 0)
    assert outcomes(tmp_path / "there") == outcomes(tmp_path / "here")
    one, other = label_maps(tmp_path / "here"), label_maps(tmp_path / "there")
    assert len(one) == 4
    assert one.keys() == other.keys()
    for name, (values, affine) in one.items():
        np.testing.assert_array_equal(values, other[name][0])
        np.testing.assert_array_equal(affine, other[name][1])
        assert values.any()
