import re
import shlex
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def test_long_volume_of_many_structures_needs_a_slab_of_them_at_a_time():
    size = shlex.split("--shape 64 64 768 --structures 60 --patch 32 32 32 --spacing 1 1 1 --network-spacing 1 1 1")
    table = subprocess.run(
        [sys.executable, SCRIPT, "--no-record", *size], check=True, capture_output=True, text=True
    ).stdout
    before, peak, whole = (
        int(re.search(rf"\| {row} \| (\d+) MiB", table).group(1))
        for row in ("resident before", "peak resident, all included", "all probabilities at once would be")
    )
    assert whole == 732
    assert peak - before < whole / 2
