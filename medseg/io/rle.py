"""Pictures in DICOM's run length encoding (PS3.5 annex G).

GDCM's encoder, which pydicom would take, ends the whole process on small noisy pictures, and pydicom's own is slow.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_MOST = 128
"""Bytes of one packet."""
_SHORTEST_RUN = 3
_HEADER = 64

Bytes = NDArray[np.uint8]


def rle_frame(picture: Bytes) -> bytes:
    """One frame: a segment a colour, its rows encoded each by itself.

    Args:
        picture: Shape ``(rows, columns, samples)``, at most 15 samples.
    """
    segments = [_packed(picture[:, :, sample]) for sample in range(picture.shape[2])]
    offsets = np.cumsum([_HEADER, *map(len, segments)])[:-1].tolist()
    header = struct.pack(f"<{1 + len(segments)}I", len(segments), *offsets).ljust(_HEADER, b"\0")
    return header + b"".join(segments)


def _packed(plane: Bytes) -> bytes:
    """PackBits, of an even length."""
    values = np.ascontiguousarray(plane).reshape(-1)
    new_row = np.arange(len(values)) % plane.shape[1] == 0
    changes = new_row.copy()
    changes[1:] |= values[1:] != values[:-1]
    lengths = _lengths(np.flatnonzero(changes), len(values))
    repeats = np.repeat(lengths >= _SHORTEST_RUN, lengths)
    after_repeats = np.concatenate([[True], repeats[:-1]])
    block_starts = np.flatnonzero(np.where(repeats, changes, new_row | after_repeats))
    block_lengths = _lengths(block_starts, len(values))
    in_block = np.arange(len(values)) - np.repeat(block_starts, block_lengths)
    starts = np.flatnonzero(in_block % _MOST == 0)
    return _packets(values, starts, repeats[starts])


def _packets(values: Bytes, starts: NDArray[np.int64], repeats: NDArray[np.bool_]) -> bytes:
    """A byte that says how long and of which kind a packet is, then the repeated byte or all of them."""
    lengths = _lengths(starts, len(values))
    repeats = repeats & (lengths > 1)  # the byte for a run of one would say something else
    ends = np.cumsum(np.where(repeats, 2, lengths + 1))
    heads = np.concatenate([[0], ends[:-1]])
    packed = np.zeros(int(ends[-1]) + int(ends[-1]) % 2, dtype=np.uint8)
    packed[heads] = np.where(repeats, 2 * _MOST + 1 - lengths, lengths - 1)
    packed[heads[repeats] + 1] = values[starts[repeats]]
    literal = ~np.repeat(repeats, lengths)
    places = np.repeat(heads + 1 - starts, lengths) + np.arange(len(values))
    packed[places[literal]] = values[literal]
    return packed.tobytes()


def _lengths(starts: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    return np.diff(starts, append=end)
