#!/usr/bin/env python3
"""Draws the plots of docs/scaling.md from what bench/fleet/run.py wrote.

usage: bench/fleet/plot.py compared.json plan.json docs/     (needs matplotlib)
"""
import json
import os
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt  # noqa: E402

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fleet", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white"})
MEASURED, PREDICTED = "#3b6ea5", "#e0a030"


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(path, os.path.getsize(path), "bytes")


def compared(rows, path):
    names = [f"{r['routing']}\n{'bucket' if r['bucket'] else 'no bucket'}\n{'first' if r['round'] == 0 else 'second'} half" for r in rows]
    figure, axes = plt.subplots(2, 1, figsize=(9, 6.4), sharex=True)
    for axis, what, factor, title in ((axes[0], "rps", 1, "requests per second"), (axes[1], "hits", 100, "hits, % of requests")):
        for shift, kind, colour in ((-0.2, "measured", MEASURED), (0.2, "predicted", PREDICTED)):
            values = [r[what][kind] * factor for r in rows]
            bars = axis.bar([n + shift for n in range(len(rows))], values, 0.38, color=colour, label=kind)
            axis.bar_label(bars, [f"{v:.0f}" for v in values], fontsize=8)
        axis.set_title(title, loc="left")
    axes[0].legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    axes[1].set_xticks(range(len(rows)), names, fontsize=8)
    save(figure, path)


def cold(answer, path):
    steps = answer["cold"]
    figure, axis = plt.subplots(figsize=(8, 4))
    axis.plot([s["requests"] for s in steps], [100 * s["hit_rate"] for s in steps], color=MEASURED, marker="o", markersize=3)
    axis.set_xscale("log")
    axis.set_xlabel("requests since every result became unusable")
    axis.set_ylabel("hits, %", color=MEASURED)
    axis.set_ylim(0, 100)
    other = axis.twinx()
    other.plot([s["requests"] for s in steps], [100 * s["load"] for s in steps], color=PREDICTED, marker="s", markersize=3)
    other.axhline(100, color="#888", linewidth=0.8, linestyle="--")
    other.set_ylim(bottom=0)
    other.set_ylabel("CPU wanted, % of what the nodes have", color="#a06a00")
    other.spines["right"].set_visible(True)
    save(figure, path)


def nodes(answer, path):
    fleets = [f for f in answer["fleets"]]
    picked = [(fleets[0], "hash,\nbucket"), (fleets[2], "round robin,\nbucket"), (fleets[4], "hash,\nno bucket")]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    bars = axes[0].bar([name for _, name in picked], [f["nodes"] for f, _ in picked], 0.5, color=MEASURED)
    axes[0].bar_label(bars)
    axes[0].set_title("nodes for a billion images a day", loc="left")
    low = [0.0] * len(picked)
    for what, colour, label in (("memory", MEASURED, "memory"), ("bucket", "#7fb0d8", "bucket"), ("computed", PREDICTED, "computed")):
        values = [100 * f["shares"][what] for f, _ in picked]
        axes[1].bar([name for _, name in picked], values, 0.5, bottom=low, color=colour, label=label)
        low = [a + b for a, b in zip(low, values)]
    axes[1].legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, -0.42))
    axes[1].set_title("where results come from, %", loc="left")
    save(figure, path)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with open(sys.argv[1]) as f:
        rows = json.load(f)
    with open(sys.argv[2]) as f:
        answer = json.load(f)["answer"]
    folder = sys.argv[3]
    compared(rows, os.path.join(folder, "scaling-compared.svg"))
    nodes(answer, os.path.join(folder, "scaling-nodes.svg"))
    cold(answer, os.path.join(folder, "scaling-cold.svg"))


if __name__ == "__main__":
    main()
