"""Which gradients of a 3D convolution torch computes wrongly on a CPU in bfloat16, beside float32.

    python benchmarks/thin_convolutions.py

Each row is a convolution of 32 features on random images; its weights' gradient is computed in float32 once and in
bfloat16 several times, with freed memory full of large numbers in between. *Off* is the largest difference over the
largest number of the float32 gradient, in the worst of the tries: rounding makes it less than 0.01.
"""

from __future__ import annotations

import torch
from record import record, table
from torch import Tensor, nn

TRIES, FEATURES, WRONG = 8, 32, 0.1
SHAPES = ((1, 4, 4), (2, 4, 4), (2, 2, 2), (3, 4, 4), (4, 2, 4), (4, 4, 2), (4, 4, 4))
LAYERS = {
    "kernel 3": nn.Conv3d(FEATURES, FEATURES, 3, padding=1),
    "kernel 1x3x3": nn.Conv3d(FEATURES, FEATURES, (1, 3, 3), padding=(0, 1, 1)),
    "kernel 3, transposed": nn.ConvTranspose3d(FEATURES, FEATURES, 3, padding=1),
    "kernel 5": nn.Conv3d(FEATURES, FEATURES, 5, padding=2),
    "kernel 3, depthwise": nn.Conv3d(FEATURES, FEATURES, 3, padding=1, groups=FEATURES),
}


def main() -> None:
    torch.manual_seed(0)
    rows = [{"slices, rows, columns": "x".join(map(str, shape))} | _row(shape) for shape in SHAPES]
    record("thin-convolutions", table(rows), ("torch",))


def _row(shape: tuple[int, int, int]) -> dict[str, object]:
    return {name: _shown(_off(layer, torch.randn(2, FEATURES, *shape))) for name, layer in LAYERS.items()}


def _shown(off: float) -> str:
    return f"{off:.3f}" if off < WRONG else f"**wrong** ({off:.2g})"


def _off(layer: nn.Conv3d | nn.ConvTranspose3d, image: Tensor) -> float:
    weights = torch.randn_like(layer(image))
    exact = _gradient(layer, image, weights, is_half=False)
    worst = 0.0
    for number in range(TRIES):
        _dirty(number)
        difference = (_gradient(layer, image, weights, is_half=True) - exact).abs().max() / exact.abs().max()
        worst = max(worst, float(difference.nan_to_num(float("inf"))))
    return worst


def _gradient(layer: nn.Conv3d | nn.ConvTranspose3d, image: Tensor, weights: Tensor, *, is_half: bool) -> Tensor:
    layer.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
        result = layer(image)
    (result.float() * weights).mean().backward()
    assert layer.weight.grad is not None  # noqa: S101 - backward made it
    return layer.weight.grad.clone()


def _dirty(number: int) -> None:
    """Leave large numbers in memory that is free then."""
    for size in range(40):
        torch.full((1000 + 137 * number + 10 * size,), 1e30)


if __name__ == "__main__":
    main()
