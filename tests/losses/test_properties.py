"""What holds for every loss on any patch."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medseg.config.losses import (
    DiceBoundarySection,
    DiceCESection,
    DiceClDiceSection,
    DiceFocalSection,
    DiceHausdorffSection,
    DiceSection,
    DiceTopKSection,
    FocalTverskySection,
    GeneralizedDiceSection,
    TverskySection,
)
from medseg.losses.build import build_loss

SECTIONS = (
    DiceSection(),
    DiceCESection(),
    DiceFocalSection(),
    DiceTopKSection(),
    DiceBoundarySection(reach=5),
    DiceHausdorffSection(reach=5),
    DiceClDiceSection(iterations=2),
    TverskySection(),
    FocalTverskySection(),
    GeneralizedDiceSection(),
)
every_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
SHAPES = st.one_of(st.tuples(*[st.integers(2, 7)] * 2), st.tuples(*[st.integers(2, 7)] * 3))


@st.composite
def batches(draw, *, absent=False):
    """Whether classes exclude each other, logits of a bad or a good network, and a target with ignored voxels."""
    exclusive, shape = draw(st.booleans()), draw(SHAPES)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size, high = ((2, *shape), 3) if exclusive else ((2, 3, *shape), 2)
    target = torch.randint(0, 1 if absent else high, size, generator=generator).to(torch.uint8)
    target[torch.rand(size, generator=generator) < draw(st.sampled_from([0.0, 0.2, 0.9]))] = 255
    logits = torch.randn(2, 3, *shape, generator=generator) * draw(st.sampled_from([0.1, 3.0, 60.0]))
    return exclusive, logits, target


def moved(array, order, axis=1):
    return array.index_select(axis, torch.tensor(order))


@every_section
@given(batches())
def test_it_is_finite_and_never_negative(section, given_batch):
    exclusive, logits, target = given_batch
    loss = build_loss(section, exclusive=exclusive)(logits.requires_grad_(), target)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert -1e-5 <= loss.item() < float("inf")


@every_section
@given(batches(absent=True))
def test_it_is_finite_where_no_structure_is(section, given_batch):
    exclusive, logits, target = given_batch
    build_loss(section, exclusive=exclusive)(logits.requires_grad_(), target).backward()
    assert torch.isfinite(logits.grad).all()


@every_section
@given(batches(), st.sampled_from([*itertools.permutations(range(2))]))
def test_it_does_not_matter_which_structure_comes_first(section, given_batch, order):
    """With their weights moved along; the background stays first."""
    exclusive, logits, target = given_batch
    weights = (0.5, 2.0, 3.0)
    whole = (0, *(1 + index for index in order))
    other = target.clone()
    if exclusive:
        for place, index in enumerate(order, start=1):
            other[target == index + 1] = place
    else:
        other = moved(target, whole)
    one = build_loss(section, weights, exclusive=exclusive)(logits, target)
    moved_weights = tuple(weights[index] for index in whole)
    same = build_loss(section, moved_weights, exclusive=exclusive)(moved(logits, whole), other)
    torch.testing.assert_close(same, one, rtol=1e-4, atol=1e-5)


@every_section
@given(batches(), st.integers(0, 1000))
def test_ignored_voxels_change_nothing(section, given_batch, seed):
    exclusive, logits, target = given_batch
    ignored = (target == 255)[:, None] if exclusive else target == 255
    noise = 9 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    loss = build_loss(section, (0.5, 2.0, 3.0), exclusive=exclusive)
    torch.testing.assert_close(loss(torch.where(ignored, noise, logits), target), loss(logits, target))


@every_section
@given(batches(), st.booleans())
def test_mirrored_patches_cost_the_same(section, given_batch, last):
    exclusive, logits, target = given_batch
    axis = -1 if last else -2
    loss = build_loss(section, exclusive=exclusive)
    torch.testing.assert_close(loss(logits.flip(axis), target.flip(axis)), loss(logits, target), rtol=1e-4, atol=1e-5)


@every_section
@pytest.mark.parametrize("exclusive", [True, False])
def test_half_precision_costs_what_its_rounded_values_cost(section, exclusive):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 3, 12, 12, 12, generator=generator) * 4).bfloat16()
    target = torch.randint(0, 2, (2, 12, 12, 12) if exclusive else (2, 3, 12, 12, 12), generator=generator).byte()
    loss = build_loss(section, exclusive=exclusive)
    exact = loss(logits.float(), target)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(logits.requires_grad_(), target)
        half.backward()
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=1e-5, atol=1e-6)
    assert torch.isfinite(logits.grad).all()


@every_section
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_network_that_learns_by_it_finds_the_structures(section, exclusive):
    """Logits alone, moved by the gradient: the loss leads to the reference."""
    target = torch.zeros(1, 12, 12, dtype=torch.uint8)
    target[0, 2:6, 2:6], target[0, 7:10, 3:11] = 1, 2
    target = target if exclusive else torch.stack([target == 1, target == 2, target > 0], 1).byte()
    logits = torch.zeros(1, 3, 12, 12, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = build_loss(section, exclusive=exclusive)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    found = logits.argmax(1) if exclusive else logits > 0
    assert (found == target).float().mean() > 0.95


@pytest.mark.gpu
@every_section
@pytest.mark.parametrize("exclusive", [True, False])
def test_cuda_gives_what_the_cpu_gives(section, exclusive):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 12, 12, 12, generator=generator)
    target = torch.randint(0, 2, (2, 12, 12, 12) if exclusive else (2, 3, 12, 12, 12), generator=generator).byte()
    target[..., 0] = 255
    gradients = []
    for device in ("cpu", "cuda"):
        free = logits.detach().to(device).requires_grad_()
        loss = build_loss(section, (0.5, 2.0, 3.0), exclusive=exclusive).to(device)(free, target.to(device))
        loss.backward()
        gradients.append((loss.detach().cpu(), free.grad.cpu()))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
