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
from medseg.losses.boundary import DiceBoundaryLoss
from medseg.losses.build import build_loss
from medseg.losses.cldice import DiceClDiceLoss
from medseg.losses.compound import DiceCELoss, DiceFocalLoss
from medseg.losses.dice import DiceLoss, GeneralizedDiceLoss
from medseg.losses.hausdorff import DiceHausdorffLoss
from medseg.losses.ramp import Ramp, set_progress
from medseg.losses.topk import DiceTopKLoss
from medseg.losses.tversky import FocalTverskyLoss, TverskyLoss

WEIGHTS = (1.0, 2.0, 3.0)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    ("section", "make"),
    [
        (DiceSection(), DiceLoss),
        (DiceCESection(ce_weight=0.3), lambda w, **kind: DiceCELoss(0.3, w, **kind)),
        (DiceFocalSection(gamma=1.5, focal_weight=0.3), lambda w, **kind: DiceFocalLoss(1.5, 0.3, w, **kind)),
        (TverskySection(alpha=0.2, beta=0.6), lambda w, **kind: TverskyLoss(0.2, 0.6, w, **kind)),
        (FocalTverskySection(alpha=0.2, beta=0.6, gamma=2), lambda w, **kind: FocalTverskyLoss(0.2, 0.6, 2, w, **kind)),
        (GeneralizedDiceSection(), GeneralizedDiceLoss),
        (DiceTopKSection(share=0.3, ce_weight=0.4), lambda w, **kind: DiceTopKLoss(0.3, 0.4, w, **kind)),
        (
            DiceBoundarySection(boundary_weight=0.4, ramp=0.8, reach=2),
            lambda w, **kind: DiceBoundaryLoss(Ramp(0.4, 0.8), 2, w, **kind),
        ),
        (
            DiceHausdorffSection(hausdorff_weight=0.4, ramp=0.8, alpha=1, reach=2),
            lambda w, **kind: DiceHausdorffLoss(Ramp(0.4, 0.8), 1, 2, w, **kind),
        ),
        (DiceClDiceSection(cldice_weight=0.3, iterations=1), lambda w, **kind: DiceClDiceLoss(0.3, 1, w, **kind)),
    ],
)
def test_the_section_s_numbers_reach_the_loss(section, make, exclusive):
    logits = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 2, (2, 6, 5) if exclusive else (2, 3, 6, 5), generator=torch.Generator().manual_seed(0))
    for weights in (None, WEIGHTS):
        expected = make(None if weights is None else torch.tensor(weights), exclusive=exclusive)
        single = build_loss(section, exclusive, weights)
        assert type(single) is type(expected)
        for progress in (1.0, 0.4):
            set_progress(single, progress)
            set_progress(expected, progress)
            torch.testing.assert_close(single(logits, target.byte()), expected(logits, target.byte()))
        deep = build_loss(section, exclusive, weights, deep_supervision=True)
        set_progress(deep, 0.4)
        torch.testing.assert_close(deep([logits], target.byte()), expected(logits, target.byte()))
