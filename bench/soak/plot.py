#!/usr/bin/env python3
"""Draws what bench/soak/run.py wrote: memory, descriptors and answers over time.

usage: bench/soak/plot.py FOLDER docs/soak.svg     (needs matplotlib)
"""
import csv
import itertools
import json
import os
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt  # noqa: E402

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white"})
COLOURS = ["#3b6ea5", "#e0a030", "#5a9a5a", "#b05050"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(os.path.join(sys.argv[1], "samples.csv")) as f:
        rows = list(csv.DictReader(f))
    with open(os.path.join(sys.argv[1], "summary.json")) as f:
        summary = json.load(f)
    figure, axes = plt.subplots(3, 1, figsize=(8, 6.2), sharex=True)
    minutes = lambda row: float(row["seconds"]) / 60
    for process, mine in itertools.groupby(sorted(rows, key=lambda r: int(r["process"])), lambda r: int(r["process"])):
        mine = list(mine)
        colour = COLOURS[process % len(COLOURS)]
        for axis, what in ((axes[0], "rss_mib"), (axes[1], "files")):
            axis.plot([minutes(r) for r in mine], [float(r[what]) for r in mine], color=colour, linewidth=0.9)
    # A row for each process: those of the same moment say the same.
    moments = [list(of)[0] for _, of in itertools.groupby(rows, lambda r: r["seconds"])]
    rates = [((minutes(a) + minutes(b)) / 2, (int(b["answers"]) - int(a["answers"])) / (float(b["seconds"]) - float(a["seconds"]))) for a, b in zip(moments[::6], moments[6::6])]
    axes[2].plot(*zip(*rates), color=COLOURS[0], linewidth=0.9)
    axes[0].set_title("resident memory, MiB (each colour change is a new process)", loc="left", fontsize=10)
    axes[1].set_title("open descriptors", loc="left", fontsize=10)
    axes[2].set_title(f"requests per second; wrong answers: {summary['wrong_count']} of {sum(v for k in summary['answers'].values() for n, v in k.items() if not n.startswith('p'))}", loc="left", fontsize=10)
    axes[2].set_xlabel("minutes")
    for axis in axes:
        axis.set_ylim(bottom=0)
        for began, ended in summary["pauses"]:
            axis.axvspan(began / 60, ended / 60, color="#dddddd", linewidth=0)
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})
    print(sys.argv[2], os.path.getsize(sys.argv[2]), "bytes")


if __name__ == "__main__":
    main()
