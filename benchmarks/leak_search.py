"""How fast files are searched for identifiers, and how often chance writes one into pixels.

    python benchmarks/leak_search.py [--megabytes 64] [--identifiers 300] [--record]

The same identifiers are searched by ``Search`` (plain and UTF-16, both cases, limits of words and numbers), by one
``in`` after the other, and by one regular expression of alternatives; the last two in lower-cased bytes only.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from record import record, table

from medseg.deid.byte_search import ByteSearch
from medseg.deid.descriptors import Vocabulary
from medseg.deid.identifiers import Identifiers, identifiers_of
from medseg.deid.proof import Search
from medseg.deid.removed import Removed

_LETTERS = np.array(list("AAAABCDEEEEEFGHIIIJKLLMMNNNOOOPQRRRSSSTTTUVWXYZ"))
_SLOW_BYTES = 2**22


def main() -> None:
    """Measure and print."""
    options = parse()
    rng = np.random.default_rng(0)
    identifiers = invented(options.identifiers, rng)
    search = Search(identifiers)
    patterns = [one.text.encode().lower() for one in identifiers.found]
    rows = []
    for name, make in SAMPLES.items():
        data = make(options.megabytes * 10**6, rng).tobytes()
        rows.append(
            {
                "bytes": name,
                "Search, MB/s": speed(data, lambda part: chance_hits(search, part)),
                "as text, MB/s": speed(data, lambda part: everywhere(patterns, part)),
                "in, MB/s": speed(data[:_SLOW_BYTES], lambda part: one_by_one(patterns, part)),
                "re, MB/s": speed(data[:_SLOW_BYTES], lambda part: alternatives(patterns, part)),
                "false alarms": chance_hits(search, data),
            }
        )
    listing = f"{len(identifiers.found)} identifiers, {options.megabytes} MB each\n\n{table(rows)}"
    if options.record:
        record("leak-search", listing, packages=("numpy",))
    else:
        print(listing)


def parse() -> argparse.Namespace:
    """The size of the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--identifiers", type=int, default=300)
    parser.add_argument("--record", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


def invented(count: int, rng: np.random.Generator) -> Identifiers:
    """About so many identifiers: parts of names, numbers, dates and UIDs."""
    removed = []
    for _ in range(count):
        name = "".join(rng.choice(_LETTERS, rng.integers(4, 10)))
        removed += [
            Removed(0x00100010, "PN", name.encode(), ("latin-1",)),
            Removed(0x00101000, "LO", str(rng.integers(10**6, 10**9)).encode(), ("latin-1",)),
            Removed(0x00080018, "UI", f"1.3.12.2.1107.5.2.{rng.integers(10**17)}".encode(), ("latin-1",)),
            Removed(0x00080020, "DA", f"20{rng.integers(10, 25)}{rng.integers(10, 13)}11".encode(), ("latin-1",)),
        ]
    found = identifiers_of(removed, Vocabulary(frozenset()))
    kept = rng.permutation(len(found.found))[:count]
    return Identifiers(tuple(found.found[index] for index in kept), found.encodings, found.familiar)


def ct(size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Air and tissue in 12 of 16 bits."""
    return np.where(rng.random(size // 2) < 0.4, rng.normal(24, 8, size // 2), rng.normal(1060, 60, size // 2)).astype(
        "<u2"
    )


def mr(size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Low values in 16 bits, which look like letters in UTF-16."""
    return rng.gamma(2, 40, size // 2).astype("<u2")


def ultrasound(size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Speckle around the capital letters, in 8 bits."""
    return rng.normal(75, 8, size).clip(0, 255).astype(np.uint8)


def dark(size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Noise around the digits, in 8 bits."""
    return rng.normal(52, 3, size).clip(0, 255).astype(np.uint8)


def coded(size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Any byte, as in compressed pixels."""
    return rng.integers(0, 256, size, dtype=np.uint8)


SAMPLES: dict[str, Callable[[int, np.random.Generator], NDArray[np.generic]]] = {
    "CT, 16 bits": ct,
    "MR, 16 bits": mr,
    "ultrasound, 8 bits": ultrasound,
    "dark, 8 bits": dark,
    "compressed": coded,
}


def chance_hits(search: Search, data: bytes) -> int:
    """Identifiers found where only pixels are."""
    return len(search.hits(nifti(data)))


def nifti(voxels: bytes) -> bytes:
    """Voxels behind a header, so that they are known to be voxels."""
    header = bytearray(352)
    header[:4], header[108:112], header[344:348] = (348).to_bytes(4, "little"), b"\0\0\xb0\x43", b"n+1\0"
    return bytes(header) + voxels


def everywhere(patterns: list[bytes], data: bytes) -> int:
    """Matches of all lengths, as text is searched."""
    return sum(1 for _ in ByteSearch(patterns).matches(data, 0, len(data)))


def one_by_one(patterns: list[bytes], data: bytes) -> int:
    """How many patterns are in lower-cased bytes."""
    lowered = data.lower()
    return sum(pattern in lowered for pattern in patterns)


def alternatives(patterns: list[bytes], data: bytes) -> int:
    """How many places of lower-cased bytes match."""
    return len(re.findall(b"|".join(map(re.escape, patterns)), data.lower()))


def speed(data: bytes, work: Callable[[bytes], int]) -> int:
    """Millions of bytes a second, the best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work(data)
        times.append(time.perf_counter() - started)
    return round(len(data) / min(times) / 1e6)


if __name__ == "__main__":
    main()
