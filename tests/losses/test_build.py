import pytest
import torch

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
from medseg.losses.boundary import BoundaryLoss
from medseg.losses.build import build_loss
from medseg.losses.cldice import ClDiceLoss
from medseg.losses.compound import DiceCELoss, DicePlusLoss
from medseg.losses.dice import DiceLoss, GeneralizedDiceLoss
from medseg.losses.focal import FocalLoss
from medseg.losses.hausdorff import LogHausdorffLoss
from medseg.losses.ramp import Ramp, set_progress
from medseg.losses.topk import TopKLoss
from medseg.losses.tversky import FocalTverskyLoss, TverskyLoss

WEIGHTS = (1.0, 2.0, 3.0)


def plus(weight, other, *numbers, dice_weight=1.0):
    """Makes Dice and the other loss, with its numbers."""
    return lambda weights, **kind: DicePlusLoss(
        DiceLoss(weights, **kind), other(*numbers, weights, **kind), weight, dice_weight
    )


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    ("section", "make"),
    [
        (DiceSection(), DiceLoss),
        (DiceCESection(ce_weight=0.3), lambda w, **kind: DiceCELoss(0.3, w, **kind)),
        (DiceFocalSection(gamma=1.5, focal_weight=0.3), plus(Ramp(0.3), FocalLoss, 1.5)),
        (TverskySection(alpha=0.2, beta=0.6), lambda w, **kind: TverskyLoss(0.2, 0.6, w, **kind)),
        (FocalTverskySection(alpha=0.2, beta=0.6, gamma=2), lambda w, **kind: FocalTverskyLoss(0.2, 0.6, 2, w, **kind)),
        (GeneralizedDiceSection(), GeneralizedDiceLoss),
        (DiceTopKSection(share=0.3, ce_weight=0.4), plus(Ramp(0.4), TopKLoss, 0.3)),
        (DiceBoundarySection(boundary_weight=0.4, ramp=0.8, reach=2), plus(Ramp(0.4, 0.8), BoundaryLoss, 2)),
        (
            DiceHausdorffSection(hausdorff_weight=0.4, ramp=0.8, alpha=1, reach=2),
            plus(Ramp(0.4, 0.8), LogHausdorffLoss, 1, 2),
        ),
        (DiceClDiceSection(cldice_weight=0.3, iterations=1), plus(Ramp(0.3), ClDiceLoss, 1, dice_weight=0.7)),
    ],
)
def test_the_section_s_numbers_reach_the_loss(section, make, exclusive):
    logits = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 2, (2, 6, 5) if exclusive else (2, 3, 6, 5), generator=torch.Generator().manual_seed(0))
    for weights in (None, WEIGHTS):
        expected = make(None if weights is None else torch.tensor(weights), exclusive=exclusive)
        single = build_loss(section, weights, exclusive=exclusive)
        assert [*map(type, single.modules())] == [*map(type, expected.modules())]
        for progress in (1.0, 0.4):
            set_progress(single, progress)
            set_progress(expected, progress)
            torch.testing.assert_close(single(logits, target.byte()), expected(logits, target.byte()))
        deep = build_loss(section, weights, exclusive=exclusive, deep_supervision=True)
        set_progress(deep, 0.4)
        torch.testing.assert_close(deep([logits], target.byte()), expected(logits, target.byte()))
