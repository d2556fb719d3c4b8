"""Networks computed by OpenVINO: what they leave behind in the program that lets them go."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, threading
import torch
from medseg.inference.openvino_model import OpenVINORunner, openvino_model
from medseg.inference.openvino_int8 import quantised

shape = (1, 1, 8, 8, 8)
model = openvino_model(torch.nn.Conv3d(1, 2, 3, padding=1).eval(), shape)
model = quantised(model, [torch.randn(shape[1:]).numpy()]) if {integers} else model
held = [OpenVINORunner(model)]
held[0](torch.zeros(*shape))
del model
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
signal.raise_signal(signal.SIGUSR1)
assert seen == [signal.SIGUSR1] and not held
"""


@pytest.mark.parametrize("integers", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_signal_is_survived_after_another_thread_let_go_of_a_network(integers):
    program = PROGRAM.format(integers=integers)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
