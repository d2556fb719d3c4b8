import numpy as np
import pytest
import torch
from factories import bundle, geometry, volume
from fixed_network import Fixed

from medseg.inference import timings
from medseg.inference.predictor import Predictor
from medseg.inference.runner import TorchRunner
from medseg.inference.settings import PredictionSettings
from medseg.inference.timings import STAGES, UNOBSERVED, Timings

CPU = torch.device("cpu")
FP32 = PredictionSettings(device="cpu", precision="fp32", runtime="torch")


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timings, "time", clock)
    return clock


class Slow:
    """A network that takes so long for each window."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.device = clock, seconds, CPU

    def __call__(self, windows):
        self.clock.now += self.seconds * len(windows)
        return windows


def test_a_stage_within_another_pauses_it(clock):
    watch = Timings(CPU)
    with watch.stage("reading"):
        clock.now += 1
    clock.now += 100  # nobody's
    with watch.stage("assembling"):
        clock.now += 2
        with watch.stage("network"):
            clock.now += 10
        clock.now += 3
        with watch.stage("decision"):
            clock.now += 20
        clock.now += 4
    wanted = {"reading": 1, "assembling": 9, "network": 10, "decision": 20}
    assert watch.seconds == dict.fromkeys(STAGES, 0) | wanted


def test_a_stage_that_fails_counts_and_closes(clock):
    def broken():
        with watch.stage("assembling"), watch.stage("network"):
            clock.now += 5
            raise ValueError("broken")

    watch = Timings(CPU)
    with pytest.raises(ValueError, match="broken"):
        broken()
    with watch.stage("writing"):
        clock.now += 1
    assert (watch.seconds["network"], watch.seconds["assembling"], watch.seconds["writing"]) == (5, 0, 1)


def test_networks_and_sinks_are_stages_of_their_own(clock):
    watch, given = Timings(CPU), []
    first, second = watch.runners((Slow(clock, 1), Slow(clock, 2)))
    sink = watch.sink(lambda start, slab: given.append((start, tuple(slab.shape))))
    with watch.stage("assembling"):
        clock.now += 1
        assert torch.equal(first(torch.ones(3, 1, 4)), torch.ones(3, 1, 4))
        second(torch.ones(2, 1, 4))
        first(torch.ones(3, 1, 4))
        sink(7, torch.ones(2, 2))
    assert (watch.seconds["network"], watch.seconds["assembling"]) == (10, 1)
    assert watch.calls == {(0, (3, 1, 4)): 2, (1, (2, 1, 4)): 1}
    assert given == [(7, (2, 2))]
    assert first.device == CPU
    assert watch.floor_s() == 2 * 3 + 4


def test_a_network_keeps_its_number_from_prediction_to_prediction(clock):
    watch, networks = Timings(CPU), (Slow(clock, 1), Slow(clock, 1))
    for _ in range(3):
        watch.runners(networks)[1](torch.ones(1, 1))
    assert watch.calls == {(1, (1, 1)): 3}


def test_who_looks_away_counts_nothing(clock):
    watch = Timings(CPU)
    watch.is_on = False
    (runner,) = watch.runners([Slow(clock, 1)])
    with watch.stage("reading"):
        runner(torch.ones(1, 1))
    assert not any(watch.seconds.values())
    assert watch.calls == {}
    networks, sink = (Slow(clock, 1),), print
    assert UNOBSERVED.runners(networks) is networks
    assert UNOBSERVED.sink(sink) is sink


def models():
    other = bundle(sampling={"patch": (12, 12, 12)})
    joined = bundle()
    return {
        "one": bundle(postprocessing={"largest_component": ("one",)}),
        "passes": type(joined)((*joined.members, *other.members), joined.scheme, joined.facts),
    }


@pytest.mark.parametrize("name", ["one", "passes"])
def test_an_observed_prediction_is_the_same_and_its_stages_make_up_its_time(name):
    model, image, watch = models()[name], volume(geometry((30, 20, 25), (1, 1, 1))), Timings(CPU)
    plain, observed = (Predictor(model, FP32, one) for one in (UNOBSERVED, watch))
    started = timings.time.perf_counter()
    labels = observed.predict(image).labels
    total = timings.time.perf_counter() - started
    assert np.array_equal(labels.array, plain.predict(image).labels.array)
    taken = {stage for stage, seconds in watch.seconds.items() if seconds > 0}
    assert taken - {"clean-up"} == {"preprocessing", "network", "assembling", "decision"}
    assert 0.5 * total < sum(watch.seconds.values()) <= total
    windows = {shape[2:] for _, shape in watch.calls}
    assert windows == ({(16, 16, 16)} if name == "one" else {(16, 16, 16), (12, 12, 12)})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_waited_for_where_its_work_is_counted():
    device = torch.device("cuda")
    network = torch.nn.Conv3d(1, 64, 7, padding=3).to(device)
    watch = Timings(device)
    (runner,) = watch.runners([TorchRunner(network)])
    with torch.inference_mode(), watch.stage("assembling"):
        for _ in range(5):
            runner(torch.ones(1, 1, 96, 96, 96, device=device))
    assert watch.seconds["network"] > 5 * watch.seconds["assembling"]


def test_a_network_without_weights_can_be_observed():
    watch = Timings(CPU)
    Predictor(bundle(Fixed(0.0, 1.0, 0.0)), FP32, watch).predict(volume())
    assert sum(watch.calls.values()) == 1
