"""Networks written in other forms, and computed again."""

from __future__ import annotations

import pytest
import torch
from factories import bundle

from medseg.inference.export_forms import ExportForm, open_network, write_network
from medseg.inference.runner import TorchRunner

PRESENCE = [{"name": "T1"}, {"name": "T2", "optional": True}]


@pytest.mark.parametrize(
    ("form", "dims"),
    [
        *(pytest.param(ExportForm.ONNX, dims, marks=pytest.mark.slow) for dims in (2, 3)),
        *((form, dims) for form in ExportForm if form is not ExportForm.ONNX for dims in (2, 3)),
    ],
)
def test_what_was_written_computes_the_same(tmp_path, form, dims):
    torch.manual_seed(0)
    network = bundle(dims=dims, channels=PRESENCE).members[0].network
    images = torch.randn(3, 2, *(16,) * dims, generator=torch.Generator().manual_seed(0))
    images[1, 1] = 0
    with torch.inference_mode():  # as a prediction in the background of an export would have it
        write_network(form, network, (1, 2, *(16,) * dims), tmp_path)
        assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == set(form.files)
        runner, wanted = open_network(form, tmp_path), TorchRunner(network)(images)
        for number, logits in enumerate(wanted):
            found = runner(images[number : number + 1])
            assert torch.allclose(found[0], logits, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("form", [pytest.param(ExportForm.ONNX, marks=pytest.mark.slow), ExportForm.TORCH_EXPORT])
def test_several_windows_go_at_once_where_the_form_allows(tmp_path, form):
    network = bundle().members[0].network
    write_network(form, network, (1, 1, 16, 16, 16), tmp_path)
    images = torch.randn(4, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = TorchRunner(network)(images)
        if form is ExportForm.ONNX:
            found = _by_onnx(tmp_path, images)
        else:
            found = torch.export.load(tmp_path / "model.pt2").module()(images)
    assert torch.allclose(found, wanted, atol=1e-4)


def _by_onnx(folder, images):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return torch.from_numpy(session.run(["logits"], {"image": images.numpy()})[0])
