"""Speed, traffic, memory and separation of users of the review app, on this machine alone.

    python benchmarks/review_app.py open                                 # a 256³ study in a real browser
    python benchmarks/review_app.py large                                # a CT of 512 x 512 x 600 voxels
    python benchmarks/review_app.py users --users 20 --seconds 300       # many at once, without screens

The app is served by its own code in a process of its own. ``open`` and ``large`` look at it with Chromium, which draws
by Mesa's llvmpipe. ``users`` speaks Streamlit's protocol over the WebSocket and HTTP as a browser does, draws nothing,
and looks for marks of one person in everything that another one is sent; it ends with status 1 if it finds any, if
something failed, or if the server keeps memory.
"""

from __future__ import annotations

import argparse
import os
import sys

from record import record, table
from review_load import measured
from review_report import faults, rows_of
from review_screen import large_ct, study_of_256

_PACKAGES = ("streamlit", "playwright", "numpy")


def main() -> None:
    options = _options()
    load, wrong = os.getloadavg()[0], list[str]()
    if options.what == "open":
        rows = study_of_256()
    elif options.what == "large":
        rows = large_ct(tuple(options.shape))
    else:
        found = measured(options.users, options.seconds, options.patience)
        rows, wrong = rows_of(found), faults(found)
    rows["cores, load average when it began"] = f"{len(os.sched_getaffinity(0))}, {load:.1f}"
    listing = table([{f"review app, {options.what}": name, "": value} for name, value in rows.items()])
    if options.no_record:
        print(listing)
    else:
        record(f"review-{options.what}", listing, _PACKAGES)
    for fault in wrong:
        print(fault, file=sys.stderr)
    raise SystemExit(bool(wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("open", "large", "users"))
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 600), help="of the large CT")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--patience", type=float, help="seconds for which the server keeps what a browser left behind")
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
