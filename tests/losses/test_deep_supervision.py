import pytest
import torch
from torch import nn

from medseg.losses.compound import DiceCELoss
from medseg.losses.deep_supervision import DeepSupervisionLoss, level_weights, thinned


@pytest.mark.parametrize(
    ("levels", "weights"), [(1, (1,)), (2, (2 / 3, 1 / 3)), (3, (2 / 3, 1 / 3, 0)), (4, (4 / 7, 2 / 7, 1 / 7, 0))]
)
def test_weights_halve_and_sum_to_one(levels, weights):
    assert level_weights(levels) == pytest.approx(weights)


@pytest.mark.parametrize("exclusive", [True, False])
def test_weighted_sum_over_thinned_targets(exclusive):
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 12, 4), (4, 6, 4), (2, 3, 2)]
    logits = [torch.randn(2, 3, *shape, generator=generator) for shape in shapes]
    target = torch.randint(0, 2, (2, 8, 12, 4) if exclusive else (2, 3, 8, 12, 4), generator=generator).byte()
    loss = DiceCELoss(exclusive=exclusive)
    expected = 2 / 3 * loss(logits[0], target) + 1 / 3 * loss(logits[1], target[..., ::2, ::2, :])
    torch.testing.assert_close(DeepSupervisionLoss(loss)(logits, target), expected)


def test_a_single_output_is_the_finest():
    logits, target = torch.randn(1, 2, 6, 6), torch.ones(1, 6, 6, dtype=torch.uint8)
    loss = DiceCELoss(exclusive=True)
    torch.testing.assert_close(DeepSupervisionLoss(loss)(logits, target), loss(logits, target))


def test_every_head_gets_a_gradient_so_that_ddp_is_content():
    heads = [nn.Conv2d(1, 2, 1) for _ in range(3)]
    image = torch.randn(1, 1, 8, 8)
    logits = [head(image[..., :: 2**level, :: 2**level]) for level, head in enumerate(heads)]
    DeepSupervisionLoss(DiceCELoss(exclusive=True))(logits, torch.ones(1, 8, 8, dtype=torch.uint8)).backward()
    assert [bool(head.weight.grad.any()) for head in heads] == [True, True, False]


@pytest.mark.parametrize(("size", "level"), [(8, 4), (9, 5), (5, 2), (6, 6), (7, 1)])
def test_thinned_has_the_level_s_shape(size, level):
    target = torch.arange(size * 6).view(1, size, 6)
    small = thinned(target, torch.zeros(1, 2, level, 3))
    assert small.shape == (1, level, 3)
    assert small[0, 0, 0] == 0
