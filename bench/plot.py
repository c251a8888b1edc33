#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws what `bench/run --json` has measured: plot.py results.json... directory

calls.svg   bars: calls on the built-in, on the module, and the bare limit, in microseconds
touches.svg bars: first touches, as parts of what the built-in takes; longer ones are cut
scaling.svg curves: by the number of processes
many.svg    curves: by the number of segments
Only those whose rows are in the file are drawn.
"""
import json
import math
import pathlib
import sys

CALLS = ["create", "create-key", "attach", "attach-beside", "attach-ro-beside", "stat", "find"]
TOUCHES = ["touch-4k", "touch-64k", "touch-1m", "touch-2m", "touch", "touch2", "fork"]
SCALING = ["scale-attach", "scale-attach-one", "scale-create", "scale-stat", "scale-find"]
MANY = ["many-create", "many-find", "many-stat", "many-remove"]
SIDES = ["builtin", "rust_shm", "limit", "tuned", "hugetlb"]
NAMES = {"builtin": "built-in", "rust_shm": "rust_shm", "limit": "bare limit", "tuned": "built-in, tuned", "hugetlb": "built-in, SHM_HUGETLB"}

STYLE = """
	.page { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328 } .small { font-size: 11px; fill: #57606a } .grid { stroke: #d0d7de }
	.builtin { fill: #8c959f } .rust_shm { fill: #0969da } .limit { fill: #2da44e } .tuned { fill: #bf8700 } .hugetlb { fill: #cf222e }
	polyline { fill: none !important; stroke-width: 2.5 }
	polyline.builtin { stroke: #8c959f } polyline.rust_shm { stroke: #0969da } polyline.limit { stroke: #2da44e }
	@media (prefers-color-scheme: dark) {
		.page { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .small { fill: #9da7b3 } .grid { stroke: #30363d }
	}
"""


def svg(width, height, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="14">', f"<style>{STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>', *parts, "</svg>", ""])


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def mark(value):
    for above, letter in ((10**6, "M"), (10**3, "k")):
        if value >= above:
            return f"{value // above}{letter}"
    return str(value)


def above(value):
    """The next of 1, 2, 4, 6, 8, 10, 20 ...: what an axis ends with."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def legend(sides, x, y):
    for side in sides:
        yield f'<rect class="{side}" x="{x}" y="{y - 10}" width="12" height="12" rx="2"/>'
        yield f'<text class="small" x="{x + 17}" y="{y}">{NAMES[side]}</text>'
        x += 35 + 7 * len(NAMES[side])


def bars(rows, title, shown):
    """One group for each row; shown(row, side) is the length, or None, and `1` the longest that is drawn."""
    left, width, bar, gap = 260, 420, 13, 14
    sides = [side for side in SIDES if any(side in row for row in rows)]
    parts = [f'<text x="20" y="28" font-weight="bold">{title}</text>', *legend(sides, 20, 50)]
    longest = max(shown(row, side) for row in rows for side in sides if side in row)
    y = 70
    for row in rows:
        mine = [side for side in sides if side in row]
        parts.append(f'<text x="{left - 10}" y="{y + bar * len(mine) / 2 + 5}" text-anchor="end">{row["title"]}</text>')
        for side in mine:
            length = shown(row, side) / longest * width
            parts.append(f'<rect class="{side}" x="{left}" y="{y}" width="{max(length, 1):.1f}" height="{bar - 2}" rx="2"/>')
            value = f'{number(row[side]["median"])} {row["unit"]}'
            parts.append(f'<text class="small" x="{left + length + 6:.1f}" y="{y + bar - 3}">{value}</text>')
            y += bar
        y += gap
    return svg(left + width + 90, y + 6, parts)


def panel(x, y, title, unit, series, logarithmic):
    """One diagram: series is {side: [(at, value)]}; all begin at 0, and the marks below are those of the first."""
    width, height = 250, 150
    points = next(iter(series.values()))
    top = above(max(value for line in series.values() for _, value in line))
    place = (lambda at: math.log(at / points[0][0]) / math.log(points[-1][0] / points[0][0])) if logarithmic else (
        lambda at: [mark for mark, _ in points].index(at) / (len(points) - 1))
    yield f'<text x="{x}" y="{y - 10}">{title}</text>'
    for step in range(3):
        line = y + height - height * step / 2
        yield f'<line class="grid" x1="{x + 45}" x2="{x + 45 + width}" y1="{line}" y2="{line}"/>'
        yield f'<text class="small" x="{x + 40}" y="{line + 4}" text-anchor="end">{number(top * step / 2)}</text>'
    yield f'<text class="small" x="{x + 45}" y="{y + height + 32}">{unit}</text>'
    for at, _ in points:
        yield f'<text class="small" x="{x + 45 + place(at) * width:.1f}" y="{y + height + 16}" text-anchor="middle">{mark(at)}</text>'
    for side, line in series.items():
        path = " ".join(f"{x + 45 + place(at) * width:.1f},{y + height - value / top * height:.1f}" for at, value in line)
        yield f'<polyline class="{side}" points="{path}"/>'


def curves(rows, names, key, title, below, logarithmic):
    parts = [f'<text x="20" y="28" font-weight="bold">{title}</text>']
    rows = [row for row in rows if row["name"] in names]
    sides = [side for side in SIDES if any(side in row for row in rows)]
    parts.extend(legend(sides, 20, 50))
    place = 0
    for name in names:
        mine = [row for row in rows if row["name"] == name]
        if not mine:
            continue
        value = lambda row, side: row[side]["median"] if isinstance(row[side], dict) else row[side]
        series = {side: [(row[key], value(row, side)) for row in mine] for side in sides if side in mine[0]}
        x, y = 20 + place % 2 * 340, 100 + place // 2 * 220
        parts.extend(panel(x, y, f'{mine[0]["title"]}, {mine[0]["unit"]}', below, series, logarithmic))
        place += 1
    return svg(20 + 340 * 2, 95 + (place + 1) // 2 * 220, parts)


def main():
    *files, directory = sys.argv[1:] or [None]
    if not files:
        sys.exit(__doc__)
    rows = [row for file in files for guest in json.loads(pathlib.Path(file).read_text(encoding="utf-8")) for row in guest["rows"]]
    pictures = {}
    named = {row["name"]: row for row in rows}

    def of(names):
        return [named[name] for name in names if name in named]

    if of(CALLS):
        pictures["calls"] = bars(of(CALLS), "What a call takes", lambda row, side: row[side]["median"])
    if of(TOUCHES):
        pictures["touches"] = bars(of(TOUCHES), "What memory takes, to the built-in", lambda row, side: min(row[side]["median"] / row["builtin"]["median"], 1.1))
    if of(SCALING):
        pictures["scaling"] = curves(rows, SCALING, "processes", "Calls by all processes together", "processes", False)
    if of(MANY):
        pictures["many"] = curves(rows, MANY, "number", "What a call takes, by how many segments there are", "segments", True)
    for name, picture in pictures.items():
        path = pathlib.Path(directory) / f"{name}.svg"
        path.write_text(picture, encoding="utf-8")
        print(path)


main()
