#!/usr/bin/env python3
"""Draws the CSV file of bench/cache/replay.py: requests and hit rate, and memory, over the hours of the day.

usage: bench/cache/plot.py FILE.csv [SECONDS] > docs/caching-day.svg

SECONDS is the length of the day, if the file ends before it.

Needs nothing but Python.
"""
import csv
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 900, 250, 60, 150, 40, 60
# At most this many points a line; each is the mean of what it stands for.
POINTS = 180


def nice(top):
    """A round number that is not below `top`, and the distance of its grid lines."""
    for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000):
        if top <= 5 * step:
            return step * max(1, -(-int(top) // step)), step
    return top, top / 5


def panel(y0, title, unit, lines, seconds, day):
    top, step = nice(max(max(values) for _, _, values in lines) * 1.02)
    x = lambda s: LEFT + (WIDTH - LEFT - RIGHT) * s / day
    y = lambda v: y0 + HEIGHT * (1 - v / top)
    out = [f'<text x="{LEFT}" y="{y0 - 14}" font-weight="bold">{title}</text>']
    value = 0
    while value <= top:
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}{unit}</text>')
        value += step
    for hour in range(0, 25, 4):
        at = x(day * hour / 24)
        out.append(f'<text x="{at:.1f}" y="{y0 + HEIGHT + 18}" text-anchor="middle">{hour}:00</text>')
    ends = []
    for name, colour, values in lines:
        points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(seconds, values))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        ends.append([y(values[-1]), name, colour])
    # Names stand beside the ends of their lines, without touching each other.
    ends.sort()
    for i, end in enumerate(ends[1:], 1):
        end[0] = max(end[0], ends[i - 1][0] + 16)
    for at, name, colour in ends:
        out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at + 4:.1f}" fill="{colour}">{name}</text>')
    return out


def main():
    with open(sys.argv[1]) as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    size = max(1, -(-len(rows) // POINTS))
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]
    column = lambda name: [sum(row[name] for row in group) / len(group) for group in groups]
    seconds = [group[-1]["seconds"] for group in groups]
    day = float(sys.argv[2]) if len(sys.argv) > 2 else seconds[-1]
    height = TOP + 3 * HEIGHT + 2 * GAP + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>')
    lines = [("from the cache", "#06c", column("kept_percent"))]
    out += panel(TOP, "Hit rate", "%", lines, seconds, day)
    lines = [("requests per second", "#444", column("requests_per_second"))]
    out += panel(TOP + HEIGHT + GAP, "Load", "", lines, seconds, day)
    lines = [("process (RSS)", "#c30", column("rss_mib")), ("memory tier", "#06c", column("memory_mib"))]
    if any(column("disk_mib")):
        lines.append(("folder", "#393", column("disk_mib")))
    out += panel(TOP + 2 * (HEIGHT + GAP), "Memory and folder", " MiB", lines, seconds, day)
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
