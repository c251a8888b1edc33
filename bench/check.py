#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compares what calls cost, in instructions, with what bench/instructions.json keeps: check.py results.json... [--lower], check.py --rows

results.json is what `ACCEL=icount bench/run --json` says, or one guest's part of it. Of several, each of a boot of its own, the least of a
row counts: how the kernel's slabs lie after a boot makes 4% of a create. --rows prints which rows are kept. A row that costs more than 3%
above what is kept is a failure. On another version of the kernel, whose own part differs, that is said of its ratio to the built-in.
--lower writes what has become less, by more than those 1% to which the counts repeat, and rows that are not kept yet. Prints TAP.
"""
import json
import pathlib
import sys

KEPT = pathlib.Path(__file__).with_name("instructions.json")
ABOVE = 1.03


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--rows":
        print(*json.loads(KEPT.read_text(encoding="utf-8"))["rows"])
        return 0
    guests = []
    for name in (name for name in sys.argv[1:] if name != "--lower"):
        said = json.loads(pathlib.Path(name).read_text(encoding="utf-8"))
        guests += said if isinstance(said, list) else [said]
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {"kernel": guests[0]["kernel"], "rows": {}}
    same = kept["kernel"] == guests[0]["kernel"]
    measured = {}
    for row in (row for guest in guests for row in guest["rows"]):
        now = {side: round(row[side]["median"] * 1000) for side in ("rust_shm", "builtin")}
        before = measured.setdefault(row["name"], now)
        before.update((side, min(before[side], now[side])) for side in now)
    if "--lower" in sys.argv[2:]:
        for name, counts in measured.items():
            if not same or name not in kept["rows"] or counts["rust_shm"] < 0.99 * kept["rows"][name]["rust_shm"]:
                kept["rows"][name] = counts
        kept["kernel"] = guests[0]["kernel"]
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return 0
    print("TAP version 13")
    print(f"1..{len(kept['rows'])}")
    failed = 0
    for n, (name, before) in enumerate(kept["rows"].items(), 1):
        now = measured.get(name)
        if now is None:
            print(f"not ok {n} instructions of {name} # not measured")
            failed = 1
            continue
        ratio = now["rust_shm"] / before["rust_shm"]
        if not same:
            ratio /= now["builtin"] / before["builtin"]
        print(f"# {name}: {now['rust_shm']}, kept: {before['rust_shm']}; built-in: {now['builtin']}, kept: {before['builtin']}")
        print(f"{'ok' if ratio <= ABOVE else 'not ok'} {n} instructions of {name}")
        failed |= ratio > ABOVE
    return failed


sys.exit(main())
