import pytest
import torch

from medseg.core.errors import ConfigError
from medseg.losses.dice import DiceLoss
from medseg.losses.soft_counts import soft_counts


def random_batch(exclusive, shape=(3, 4, 5), seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, *shape, generator=generator, dtype=dtype) * 3
    if exclusive:
        target = torch.randint(0, 3, (2, *shape), generator=generator)
    else:
        target = torch.randint(0, 2, (2, 3, *shape), generator=generator)
    ignored = torch.rand(target.shape, generator=generator) < 0.2
    return logits, target.where(~ignored, 255).to(torch.uint8)


def by_hand(logits, target, exclusive):
    """The definition, with everything spelled out as one-hot arrays."""
    if exclusive:
        valid = (target != 255)[:, None].expand_as(logits)
        present = torch.stack([target == index for index in range(logits.shape[1])], 1).to(logits.dtype)
        log_probabilities = torch.log_softmax(logits, 1)
        likelihood = present * log_probabilities
        voxels = present
    else:
        valid = target != 255
        present = (target == 1).to(logits.dtype)
        log_probabilities = torch.nn.functional.logsigmoid(logits)
        likelihood = valid * (present * log_probabilities + (1 - present) * torch.nn.functional.logsigmoid(-logits))
        voxels = valid.to(logits.dtype)
    probabilities = log_probabilities.exp()
    parts = (probabilities * present, probabilities * valid, present, likelihood, voxels)
    return [part.flatten(2).sum(2) for part in parts]


def fields(counts):
    return [counts.overlap, counts.predicted, counts.reference, counts.log_likelihood, counts.voxels]


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 7)])
def test_counts_and_gradients_equal_the_definition(exclusive, shape):
    logits, target = random_batch(exclusive, shape, dtype=torch.float64)
    factors = torch.rand(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for function in (
        lambda x: fields(soft_counts(x, target, exclusive=exclusive)),
        lambda x: by_hand(x, target, exclusive),
    ):
        free = logits.clone().requires_grad_()
        counts = torch.stack(function(free))
        (counts * factors).sum().backward()
        gradients.append((counts.detach(), free.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("exclusive", [True, False])
def test_gradcheck(exclusive):
    logits, target = random_batch(exclusive, (2, 3, 2), dtype=torch.float64)
    logits.requires_grad_()

    def differentiable(x):
        counts = soft_counts(x, target, exclusive=exclusive)
        return counts.overlap, counts.predicted, counts.log_likelihood

    assert torch.autograd.gradcheck(differentiable, (logits,))


@pytest.mark.parametrize("exclusive", [True, False])
def test_half_precision_and_autocast_count_in_single(exclusive):
    logits, target = random_batch(exclusive, (16, 16, 16))
    rounded = logits.bfloat16()
    exact = soft_counts(rounded.float(), target, exclusive=exclusive)
    free = rounded.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        counts = soft_counts(free, target, exclusive=exclusive)
        (counts.overlap.sum() + counts.log_likelihood.sum()).backward()
    assert counts.overlap.dtype == torch.float32
    torch.testing.assert_close(fields(counts), fields(exact))
    assert free.grad.dtype == torch.bfloat16


def test_single_precision_is_enough_for_many_voxels():
    logits, target = random_batch(True, (128, 128, 64))
    single = soft_counts(logits, target, exclusive=True)
    double = soft_counts(logits.double(), target, exclusive=True)
    for ours, exact in zip(fields(single), fields(double), strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=2e-6, atol=0)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]])[..., None].requires_grad_()
    counts = soft_counts(logits, torch.tensor([[[1], [1]]], dtype=torch.uint8).view(1, 2, 1), exclusive=True)
    (counts.overlap.sum() + counts.log_likelihood.sum()).backward()
    assert counts.log_likelihood.sum().item() == pytest.approx(-400)
    assert torch.isfinite(logits.grad).all()


def test_weights_for_other_outputs_are_refused():
    logits, target = random_batch(True)
    with pytest.raises(ConfigError, match=r"training.class_weights has 2 values, the network has 3 outputs"):
        DiceLoss(torch.ones(2), exclusive=True)(logits, target)
