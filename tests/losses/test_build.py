import pytest
import torch

from medseg.config.losses import DiceCESection, DiceFocalSection, DiceSection, GeneralizedDiceSection, TverskySection
from medseg.losses.build import build_loss
from medseg.losses.compound import DiceCELoss, DiceFocalLoss
from medseg.losses.dice import DiceLoss, GeneralizedDiceLoss
from medseg.losses.tversky import TverskyLoss

WEIGHTS = (1.0, 2.0, 3.0)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    ("section", "make"),
    [
        (DiceSection(), DiceLoss),
        (DiceCESection(ce_weight=0.3), lambda w, **kind: DiceCELoss(0.3, w, **kind)),
        (DiceFocalSection(gamma=1.5, focal_weight=0.3), lambda w, **kind: DiceFocalLoss(1.5, 0.3, w, **kind)),
        (TverskySection(alpha=0.2, beta=0.6), lambda w, **kind: TverskyLoss(0.2, 0.6, w, **kind)),
        (GeneralizedDiceSection(), GeneralizedDiceLoss),
    ],
)
def test_the_section_s_numbers_reach_the_loss(section, make, exclusive):
    logits = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 2, (2, 6, 5) if exclusive else (2, 3, 6, 5), generator=torch.Generator().manual_seed(0))
    for weights in (None, WEIGHTS):
        expected = make(None if weights is None else torch.tensor(weights), exclusive=exclusive)
        single = build_loss(section, exclusive, weights)
        assert type(single) is type(expected)
        torch.testing.assert_close(single(logits, target.byte()), expected(logits, target.byte()))
        deep = build_loss(section, exclusive, weights, deep_supervision=True)
        torch.testing.assert_close(deep([logits], target.byte()), expected(logits, target.byte()))
