#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws three rows of the table in Documentation/performance.md: numbers.py >numbers.svg. `make check` compares."""
import pathlib
import re

# The row of the table, which of its values, and what the picture calls it.
ROWS = [
    ("first touch of 256 MiB", 0, "First touch of 256 MiB"),
    ("touch of 256 MiB after a second attach; by a child after fork", 0, "Touch of it by a second attach"),
    ("create + remove, private / with a key", 0, "Create and remove a segment"),
]
LEFT, WIDTH, TOP, STEP = 250, 400, 48, 62

STYLE = """
	.page { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328 } .small { font-size: 12px; fill: #57606a }
	.theirs { fill: #8c959f } .ours { fill: #0969da }
	@media (prefers-color-scheme: dark) {
		.page { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .small { fill: #9da7b3 }
		.theirs { fill: #6e7681 } .ours { fill: #58a6ff }
	}
"""


def cells():
    """The table: what is measured, and the text of the columns."""
    for line in (pathlib.Path(__file__).parent / "../performance.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            name, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            yield name, rest


def value(cell, which):
    """One of `221; 232 ms`, and its unit."""
    return float(re.findall(r"[\d.]+", cell)[which]), cell.split()[-1]


def main():
    table = dict(cells())
    height = TOP + STEP * len(ROWS)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-family="system-ui, sans-serif" font-size="14" role="img">')
    print("<!-- SPDX-License-Identifier: GPL-2.0-only; made by numbers.py -->")
    print(f"<title>Three numbers: less is better</title>\n<style>{STYLE}</style>")
    print(f'<rect class="page" x="1" y="1" width="798" height="{height - 2}" rx="8"/>')
    print('<text class="small" x="20" y="28">Time, less is better. Each pair has a scale of its own.</text>')
    for number, (row, which, label) in enumerate(ROWS):
        (theirs, unit), (ours, same) = value(table[row][0], which), value(table[row][2], which)
        assert unit == same, row
        y = TOP + number * STEP
        print(f'<text x="20" y="{y + 27}">{label}</text>')
        for offset, kind, name, time in ((0, "theirs", "built-in", theirs), (22, "ours", "rust_shm", ours)):
            width = max(2, round(WIDTH * time / max(theirs, ours)))
            print(f'<rect class="{kind}" x="{LEFT}" y="{y + offset}" width="{width}" height="18" rx="2"/>')
            print(f'<text class="small" x="{LEFT + width + 8}" y="{y + offset + 14}">{name} {time:g} {unit}</text>')
    print("</svg>")


main()
