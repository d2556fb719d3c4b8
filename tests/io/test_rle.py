"""Run length encoding, decoded by pydicom, byte by byte, and in the standard's words."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.pixels.decoders.rle import _rle_decode_frame

from medseg.io.rle import rle_frame

SEGMENT = 64


def decoded(frame: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    rows, columns, samples = shape
    plain = _rle_decode_frame(frame, rows, columns, samples, 8)
    return np.frombuffer(bytes(plain), np.uint8).reshape(samples, rows, columns).transpose(1, 2, 0)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 9, 3), (3, 128, 3), (3, 129, 3), (2, 130, 1), (5, 300, 3)])
@pytest.mark.parametrize("values", [1, 2, 3, 256])
def test_any_picture_comes_back(shape, values):
    rng = np.random.default_rng(values)
    noise = rng.integers(0, values, shape).astype(np.uint8)
    long = np.repeat(noise, 4, axis=1)[:, : shape[1]]
    for picture in (noise, long):
        frame = rle_frame(picture)
        assert len(frame) % 2 == 0
        assert np.array_equal(decoded(frame, shape), picture)


@pytest.mark.parametrize(
    ("row", "packed"),
    [
        ([7, 7, 7, 1, 2, 2], [254, 7, 2, 1, 2, 2]),  # 257 - 3, then 3 - 1
        ([5], [0, 5]),
        ([4] * 129, [129, 4, 0, 4]),
        ([9, 9, 9, 8, 8, 8], [254, 9, 254, 8]),
        (list(range(130)), [127, *range(128), 1, 128, 129]),
    ],
)
def test_packets(row, packed):
    frame = rle_frame(np.array(row, np.uint8).reshape(1, -1, 1))
    assert list(frame[SEGMENT:]) == packed


def test_no_packet_crosses_rows():
    frame = rle_frame(np.full((2, 4, 1), 3, np.uint8))
    assert list(frame[SEGMENT:]) == [253, 3, 253, 3]


def test_the_header_counts_segments_and_says_where_they_begin():
    frame = rle_frame(np.zeros((1, 4, 3), np.uint8))
    assert np.frombuffer(frame[:20], "<u4").tolist() == [3, 64, 66, 68, 0]
