"""What came of many simulated users: a table, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from review_load import Load, percentile

MARGIN_MIB = 32.0
"""By how much the data of the server may be larger when all are gone than it was when its first visitor was gone."""
IN_PLACE = ("panel", "choose files", "another page")
"""Runs of pages that read no case, take in no upload and write no version."""
_WORDS = {
    "open a case": "open a case: read it, write its files",
    "saved": "save strokes as a version",
    "decide": "decide, and go on to the next case",
    "first page": "first page of a tab",
    "upload": "take in an upload: de-identify it in a process of its own",
}
_MOST_SHOWN = 20


def rows_of(load: Load) -> dict[str, object]:
    """The table."""
    runs, ledger, memory = load.runs, load.world.ledger, load.memory
    all_runs = [one for kind, found in runs.items() if kind != "upload" for one in found]
    done = load.done
    things = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(done.items()) if name != "visit")
    return {
        "users, time": f"{len(load.people)}, {load.seconds:.0f} s",
        "runs of pages": f"{len(all_runs)}, {len(all_runs) / load.seconds:.1f} a second",
        "a rerun, all but uploads": _spread(all_runs),
        "a rerun that opens, saves and takes in nothing": _spread(
            [one for kind in IN_PLACE for one in runs.get(kind, ())]
        ),
        **{words: _spread(runs[kind]) for kind, words in _WORDS.items() if kind in runs},
        "what was done": things,
        "sent to them": f"{ledger.messages} messages and answers, {ledger.bytes / 2**20:.0f} MiB",
        "what is one person's alone among it": f"{len(ledger.heard)} marks, names and tickets",
        "sent to somebody else": len(ledger.leaks()),
        "tries to get another's voxels, slices and cases": f"{done['pry']}, refused {load.refused}",
        "errors": len(load.errors),
        "CPU": f"server {_share(load.server_cpu_s, load)}, simulated users {_share(load.client_cpu_s, load)} of a core",
        "server at its start": str(memory.start),
        "when its first visitor was gone": str(memory.warm),
        "largest while all were there": f"{memory.peak}; with the processes that clean {memory.peak_tree:.0f} MiB",
        f"{load.patience_s:.0f} s after all had gone": str(memory.left),
        "data more than when its first visitor was gone": f"{_grown(load):+.0f} MiB, allowed {MARGIN_MIB:.0f} MiB",
    }


def faults(load: Load) -> list[str]:
    """What must not be."""
    memory, ledger = load.memory, load.world.ledger
    found = [*ledger.leaks(), *(f"never seen: {mark}" for mark in ledger.unheard()), *load.errors]
    found += [f"the server still has {count} {name}" for name, count in load.held.items() if count]
    if load.refused != load.done["pry"]:
        found.append(f"{load.done['pry']} tries to get what is another's, {load.refused} refused")
    if _grown(load) > MARGIN_MIB:
        found.append(f"the server went from {memory.warm} to {memory.left}")
    found += [line for line in load.said if "ERROR" in line]
    more = len(found) - _MOST_SHOWN
    return [*found[:_MOST_SHOWN], f"and {more} more"] if more > 0 else found


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    parts = (f"{percentile(seconds, percent):.2f} s" for percent in (50, 95))
    return f"median {{}}, 95th percentile {{}}, largest {max(seconds):.2f} s, n {len(seconds)}".format(*parts)


def _share(cpu_s: float, load: Load) -> str:
    return f"{100 * cpu_s / load.seconds:.0f} %"


def _grown(load: Load) -> float:
    return load.memory.left.data - load.memory.warm.data
