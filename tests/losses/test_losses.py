"""Every loss against MONAI's, and what all of them have in common."""

import pytest
import torch
from monai.losses import DiceCELoss as MonaiDiceCE
from monai.losses import DiceLoss as MonaiDice
from monai.losses import FocalLoss as MonaiFocal
from monai.losses import GeneralizedDiceLoss as MonaiGeneralizedDice
from monai.losses import TverskyLoss as MonaiTversky
from monai.losses.unified_focal_loss import AsymmetricFocalTverskyLoss as MonaiFocalTversky

from medseg.losses.boundary import BoundaryLoss
from medseg.losses.cldice import ClDiceLoss
from medseg.losses.compound import DiceCELoss, DicePlusLoss
from medseg.losses.cross_entropy import CrossEntropyLoss
from medseg.losses.dice import DiceLoss, GeneralizedDiceLoss
from medseg.losses.focal import FocalLoss
from medseg.losses.hausdorff import LogHausdorffLoss
from medseg.losses.ramp import Ramp
from medseg.losses.topk import TopKLoss
from medseg.losses.tversky import FocalTverskyLoss, TverskyLoss

WEIGHTS = (0.5, 2.0, 3.0)
SHAPES = [(6, 7, 5), (9, 8)]
LOSSES = {
    "dice": DiceLoss,
    "dice per sample": lambda **kind: DiceLoss(per_sample=True, **kind),
    "generalized": GeneralizedDiceLoss,
    "tversky": lambda **kind: TverskyLoss(0.3, 0.7, **kind),
    "focal tversky": lambda **kind: FocalTverskyLoss(0.3, 0.7, **kind),
    "cross-entropy": CrossEntropyLoss,
    "top k": lambda **kind: TopKLoss(0.2, **kind),
    "focal": lambda **kind: FocalLoss(2.0, **kind),
    "focal, flat": lambda **kind: FocalLoss(0.5, **kind),
    "dice + ce": lambda **kind: DiceCELoss(0.7, **kind),
    "boundary": lambda **kind: BoundaryLoss(4, **kind),
    "hausdorff": lambda **kind: LogHausdorffLoss(2.0, 4, **kind),
    "cldice": lambda **kind: ClDiceLoss(2, **kind),
    "dice + focal": lambda **kind: DicePlusLoss(DiceLoss(**kind), FocalLoss(2.0, **kind), Ramp(0.7), 0.6),
}
every_loss = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())
both_kinds = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "overlapping"])


def batch(exclusive, shape=(6, 7, 5), samples=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, 3, *shape, generator=generator, dtype=dtype)
    size, high = ((samples, *shape), 3) if exclusive else ((samples, 3, *shape), 2)
    return logits, torch.randint(0, high, size, generator=generator).to(torch.uint8)


def ideal(target, exclusive, strength=40.0):
    """Logits that are sure of the target; where it is ignored, of the background."""
    if not exclusive:
        return ((target == 1).float() * 2 - 1) * strength
    return torch.stack([(target.where(target != 255, 0) == index).float() for index in range(3)], 1) * strength


def monai(theirs, exclusive, **settings):
    activation = {"softmax": True, "to_onehot_y": True} if exclusive else {"sigmoid": True}
    loss = theirs(include_background=not exclusive, **activation, **settings)
    return lambda logits, target: loss(logits, target[:, None] if exclusive else target)


class TestAgainstMonai:
    @both_kinds
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("per_sample", [False, True])
    def test_dice(self, exclusive, shape, per_sample):
        logits, target = batch(exclusive, shape)
        theirs = monai(MonaiDice, exclusive, batch=not per_sample)
        ours = DiceLoss(exclusive=exclusive, per_sample=per_sample)
        torch.testing.assert_close(ours(logits, target), theirs(logits, target))

    @both_kinds
    def test_dice_with_weights(self, exclusive):
        """MONAI multiplies by the weights and averages; ours divides by their mean too."""
        logits, target = batch(exclusive)
        used = torch.tensor(WEIGHTS)[1 if exclusive else 0 :]
        theirs = monai(MonaiDice, exclusive, batch=True, weight=used)(logits, target) / used.mean()
        torch.testing.assert_close(DiceLoss(torch.tensor(WEIGHTS), exclusive=exclusive)(logits, target), theirs)

    @both_kinds
    @pytest.mark.parametrize("shape", SHAPES)
    def test_tversky(self, exclusive, shape):
        logits, target = batch(exclusive, shape)
        theirs = monai(MonaiTversky, exclusive, batch=True, alpha=0.2, beta=0.9)
        torch.testing.assert_close(TverskyLoss(0.2, 0.9, exclusive=exclusive)(logits, target), theirs(logits, target))

    @both_kinds
    @pytest.mark.parametrize("absent", [False, True])
    def test_generalized_dice(self, exclusive, absent):
        logits, target = batch(exclusive)
        if absent:
            target = (
                target.where(target != 2, 0) if exclusive else target * torch.tensor([1, 1, 0]).view(3, 1, 1, 1).byte()
            )
        # Their weights are 1 / size², ours relative to the largest of these, so only the smoothing terms differ.
        theirs = monai(MonaiGeneralizedDice, exclusive, batch=True, smooth_nr=0.0, smooth_dr=0.0)
        ours = GeneralizedDiceLoss(exclusive=exclusive)(logits, target)
        torch.testing.assert_close(ours, theirs(logits, target), atol=1e-5, rtol=0)

    @both_kinds
    @pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
    def test_focal(self, exclusive, gamma):
        """MONAI averages over voxels and classes, also when the classes are exclusive."""
        logits, target = batch(exclusive)
        loss = MonaiFocal(gamma=gamma, use_softmax=exclusive, to_onehot_y=exclusive)
        theirs = loss(logits, target[:, None] if exclusive else target.float()) * (3 if exclusive else 1)
        torch.testing.assert_close(FocalLoss(gamma, exclusive=exclusive)(logits, target), theirs)

    @pytest.mark.parametrize("absent", [False, True])
    def test_focal_tversky(self, absent):
        """MONAI has it for background and one structure, and leaves the background's share as it is."""
        logits, target = batch(exclusive=True, samples=1)
        logits, target = logits[:, :2], target.clamp(max=0 if absent else 1)
        probabilities, one_hot = logits.softmax(1), torch.stack([1 - target, target], 1).float()
        theirs = MonaiFocalTversky(delta=0.7, gamma=0.25, epsilon=1e-5, reduction="none")(probabilities, one_hot)
        ours = FocalTverskyLoss(0.3, 0.7, 4 / 3, exclusive=True)(logits, target)
        torch.testing.assert_close(ours, theirs[0, 1], atol=2e-5, rtol=0)

    @both_kinds
    def test_focal_tversky_with_an_exponent_of_one_is_tversky(self, exclusive):
        logits, target = batch(exclusive)
        weights = torch.tensor(WEIGHTS)
        focal = FocalTverskyLoss(0.2, 0.9, 1.0, weights, exclusive=exclusive)
        plain = TverskyLoss(0.2, 0.9, weights, exclusive=exclusive)
        torch.testing.assert_close(focal(logits, target), plain(logits, target))

    def test_dice_ce(self):
        logits, target = batch(exclusive=True)
        theirs = monai(MonaiDiceCE, exclusive=True, batch=True, lambda_ce=0.7)
        torch.testing.assert_close(DiceCELoss(0.7, exclusive=True)(logits, target), theirs(logits, target))

    def test_dice_ce_of_overlapping_structures(self):
        """MONAI's has a softmax in its cross-entropy here, so torch's binary one stands in."""
        logits, target = batch(exclusive=False)
        theirs = monai(MonaiDice, exclusive=False, batch=True)(logits, target)
        theirs += 0.7 * torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float())
        torch.testing.assert_close(DiceCELoss(0.7, exclusive=False)(logits, target), theirs)

    def test_weighted_cross_entropy_equals_torch(self):
        logits, target = batch(exclusive=True)
        target[0, :2] = 255
        weights = torch.tensor(WEIGHTS)
        theirs = torch.nn.functional.cross_entropy(logits, target.long(), weights, ignore_index=255)
        torch.testing.assert_close(CrossEntropyLoss(weights, exclusive=True)(logits, target), theirs)
        torch.testing.assert_close(FocalLoss(0.0, weights, exclusive=True)(logits, target), theirs)

    def test_weighted_binary_cross_entropy_equals_torch(self):
        logits, target = batch(exclusive=False)
        weights = torch.tensor(WEIGHTS).view(3, 1, 1, 1)
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float(), weights) / weights.mean()
        torch.testing.assert_close(CrossEntropyLoss(weights.flatten(), exclusive=False)(logits, target), theirs)
        torch.testing.assert_close(FocalLoss(0.0, weights.flatten(), exclusive=False)(logits, target), theirs)

    def test_compound_is_the_sum_of_its_parts(self):
        logits, target = batch(exclusive=True)
        dice, weights = DiceLoss(exclusive=True), torch.tensor(WEIGHTS)
        focal = FocalLoss(1.5, exclusive=True)
        parts = 0.4 * dice(logits, target) + 0.7 * focal(logits, target)
        torch.testing.assert_close(DicePlusLoss(dice, focal, Ramp(0.7), 0.4)(logits, target), parts)
        weighted = DiceLoss(weights, exclusive=True)(logits, target)
        weighted += 0.7 * CrossEntropyLoss(weights, exclusive=True)(logits, target)
        torch.testing.assert_close(DiceCELoss(0.7, weights, exclusive=True)(logits, target), weighted)


class TestEveryLoss:
    @every_loss
    @both_kinds
    @pytest.mark.parametrize("shape", [(2, 3, 2), (3, 3)])
    def test_gradient(self, make, exclusive, shape):
        logits, target = batch(exclusive, shape, dtype=torch.float64)
        target.view(-1)[0] = 255
        loss = make(exclusive=exclusive, class_weights=torch.tensor(WEIGHTS, dtype=torch.float64))
        assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits.requires_grad_(),))

    @every_loss
    @both_kinds
    def test_a_perfect_prediction_costs_nothing(self, make, exclusive):
        _, target = batch(exclusive)
        target[0, ..., 0] = 255
        assert make(exclusive=exclusive)(ideal(target, exclusive), target).item() == pytest.approx(0, abs=1e-4)

    @every_loss
    @both_kinds
    def test_an_opposite_prediction_costs_more_than_a_random_one(self, make, exclusive):
        logits, target = batch(exclusive)
        loss = make(exclusive=exclusive)
        assert loss(-ideal(target, exclusive), target) > loss(logits, target) > 0

    @every_loss
    @both_kinds
    def test_ignored_voxels_do_not_matter(self, make, exclusive):
        logits, target = batch(exclusive)
        target[:, ..., :2] = 255
        changed = logits.clone()
        changed[..., :2] += 7 * torch.randn(changed[..., :2].shape, generator=torch.Generator().manual_seed(3))
        loss = make(exclusive=exclusive, class_weights=torch.tensor(WEIGHTS))
        torch.testing.assert_close(loss(changed, target), loss(logits, target))
        torch.testing.assert_close(loss(logits[..., 2:], target[..., 2:]), loss(logits, target))

    @every_loss
    @both_kinds
    def test_nothing_to_learn_from_costs_nothing(self, make, exclusive):
        logits, target = batch(exclusive)
        logits.requires_grad_()
        value = make(exclusive=exclusive)(logits, torch.full_like(target, 255))
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert not logits.grad.any()

    @every_loss
    @both_kinds
    def test_absent_structures_give_finite_values_and_gradients(self, make, exclusive):
        logits, target = batch(exclusive)
        logits.requires_grad_()
        make(exclusive=exclusive)(logits, torch.zeros_like(target)).backward()
        assert torch.isfinite(logits.grad).all()
        assert logits.grad.any()

    @every_loss
    @both_kinds
    def test_a_batch_of_copies_costs_what_one_costs(self, make, exclusive):
        logits, target = batch(exclusive, samples=1)
        loss = make(exclusive=exclusive)
        copies = loss(logits.expand(3, *logits.shape[1:]), target.expand(3, *target.shape[1:]))
        torch.testing.assert_close(copies, loss(logits, target), rtol=1e-5, atol=1e-5)

    @every_loss
    def test_background_needs_no_output_where_structures_overlap(self, make):
        """Two structures in the same voxel, both predicted: no contradiction."""
        target = torch.ones(1, 2, 4, 4, dtype=torch.uint8)
        assert make(exclusive=False)(torch.full((1, 2, 4, 4), 40.0), target).item() == pytest.approx(0, abs=1e-5)

    @every_loss
    def test_weights_move_with_the_module_but_are_not_saved(self, make):
        loss = make(exclusive=True, class_weights=torch.tensor(WEIGHTS))
        loss.double()
        assert next(loss.buffers()).tolist() == pytest.approx(WEIGHTS)
        assert next(loss.buffers()).dtype == torch.float64
        assert not loss.state_dict()


def test_per_sample_dice_is_the_mean_over_samples():
    logits, target = batch(exclusive=True, samples=3)
    loss = DiceLoss(exclusive=True, per_sample=True)
    singles = [loss(logits[n : n + 1], target[n : n + 1]) for n in range(3)]
    torch.testing.assert_close(loss(logits, target), torch.stack(singles).mean())
    assert loss(logits, target) != DiceLoss(exclusive=True)(logits, target)
