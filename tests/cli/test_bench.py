from __future__ import annotations

import json

import pytest
from command_line import fails


def test_a_model_is_measured_in_words_and_as_json(medseg, model, tmp_path):
    done = medseg(
        "bench", model, "--shape", "18,16,16", "--spacing", "1,1,1", "--repeats", 2, "--device", "cpu",
        "--runtime", "torch", "--precision", "fp32", "--json", "out/bench.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "input: 1 volume, generated, 18 x 16 x 16 of 1 x 1 x 1 mm" in done.out
    assert "too few for p95 (20) and p99 (100)" in done.out
    assert "volumes a second" in done.out
    assert all(stage in done.out for stage in ("reading", "preprocessing", "network", "assembling", "writing"))
    content = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert content["latency"]["runs"] == 2
    assert content["model"]["precision"] == "fp32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "16,x,16"), "--shape takes numbers between commas, such as 512,512,300, got '16,x,16'"),
        (("--shape", "16,16.5,16"), "--shape takes whole numbers, got '16,16.5,16'"),
        (("--spacing", "1,1"), "--spacing takes 3 numbers, got '1,1'"),
        (("--input", "nowhere"), "'nowhere' does not exist"),
        (("--shape", "16,16"), "the shape of a volume has 3 numbers"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(medseg, model, arguments, message):
    fails(medseg("bench", model, "--repeats", 1, "--runtime", "torch", *arguments), message)
