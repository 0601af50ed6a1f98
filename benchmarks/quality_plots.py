"""The figures and pictures of docs/quality.md, from benchmarks/results/quality.json and rate_distortion.json.

    python benchmarks/quality_plots.py [--merge results.json ...] [--write]

--merge takes what quality.py measured into quality.json first, later files over earlier ones. --write draws the
pictures and rewrites what stands between markers in docs/quality.md; without it that text is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import DOCS, table, write
from quality import AUTO, BARS, Comparison, Entry, Results

ROOT = Path(__file__).parents[1]
PAGE = DOCS / "quality.md"
IMAGES = DOCS / "images"
MEASURED = ROOT / "benchmarks" / "results" / "quality.json"
BOUNDS = ROOT / "benchmarks" / "results" / "rate_distortion.json"

SETS = (
    "newsgroups",
    "agnews_minilm",
    "emotion_minilm",
    "mixed_minilm",
    "emotion_wordllama",
    "glove100",
    "cifar10_efflite0",
)
VOTE_BAR = 0.5  # points of 3-NN accuracy that 1 bit may cost
OURS_COLOUR, PEER_COLOUR, BOUND_COLOUR, GRID = "#D55E00", "#0072B2", "#222222", "#dddddd"


class Measured:
    """What is in the two files."""

    def __init__(self) -> None:
        entries = json.loads(MEASURED.read_text("utf-8"))
        self.skipped = [entry for entry in entries if "skipped" in entry]
        of = {name: [e for e in entries if e["set"] == name and "skipped" not in e] for name in SETS}
        self.by_set: dict[str, list[Entry]] = {name: found for name, found in of.items() if found}
        bounds = json.loads(BOUNDS.read_text("utf-8"))
        self.distortions: list[dict[str, Any]] = bounds["distortions"]
        self.ceilings: list[dict[str, Any]] = bounds["ceilings"]

    def comparisons(self) -> Iterator[tuple[str, float, Comparison]]:
        """Every set and budget that both ours and a peer are measured on."""
        for name, entries in self.by_set.items():
            for bits in BARS:
                pair = Comparison.of(entries, bits)
                if pair.auto and pair.peer:
                    yield name, bits, pair

    def ceiling(self, name: str, bits: float) -> dict[str, Any] | None:
        """The entry of the best power."""
        found = [each for each in self.ceilings if (each["set"], each["bits"]) == (name, bits)]
        return max(found, key=lambda each: each["recall10"], default=None)


def sections(measured: Measured) -> dict[str, str]:
    """What stands between the markers of the page, by their names."""
    return {
        "leads": _leads(measured),
        "misses": _misses(measured),
        "ceilings": _ceilings(measured),
        "distortions": _distortions(measured),
        "published": _published(measured),
        "ablations": _ablations(measured),
    }


def _budget(bits: float) -> str:
    return "1 bit" if bits == 1 else f"{bits:g} bits"


def _leads(measured: Measured) -> str:
    rows = []
    for name, bits, pair in measured.comparisons():
        auto, peer = pair.auto, pair.peer
        votes = "" if auto["knn3"] is None else f"{auto['knn3']:.3f} ({auto['exact_knn3']:.3f})"
        as_good = [
            each["bytes_per_row"]
            for each in measured.by_set[name]
            if each["group"] == "peers" and each["recall10"] >= auto["recall10"]
        ]
        rows.append(
            [
                name,
                f"{bits:g}",
                f"{auto['bytes_per_row']:.0f}",
                f"**{auto['recall10']:.3f}**",
                f"{peer['recall10']:.3f} {peer['method'].removeprefix('faiss ')} ({peer['bytes_per_row']:.0f} B)",
                f"{pair.lead:+.1f}",
                f"{min(as_good):.0f}" if as_good else "none",
                votes,
            ]
        )
    head = ["set", "bits", "bytes", "auto", "best peer of up to 1.25 times the bytes", "points ahead"]
    return table(head=[*head, "bytes of the first peer as good", "3-NN (exact)"], rows=rows)


def _misses(measured: Measured) -> str:
    lines = []
    for bits, bar in BARS.items():
        leads = {name: pair.lead for name, budget, pair in measured.comparisons() if budget == bits}
        if not leads:
            continue
        behind = [name for name, lead in leads.items() if lead < 0]
        short = [
            f"{name} ({pair.lead:+.1f}{_at_the_bound(measured.ceiling(name, bits), pair)})"
            for name, budget, pair in measured.comparisons()
            if budget == bits and leads[name] < bar
        ]
        line = f"* {_budget(bits)}, bar {bar:+g}: "
        line += f"mean {np.mean([*leads.values()]):+.1f}, worst {min(leads.values()):+.1f}. "
        line += f"Missed on {len(short)} of {len(leads)} sets: {', '.join(short)}. " if short else "Met on every set. "
        lines.append(line + (f"Behind the peer on {', '.join(behind)}." if behind else "Never behind."))
    alone = [
        f"{name} at {_budget(bits)}"
        for name, bits, pair in measured.comparisons()
        if not any(
            "RQ" in each["method"] and pair.auto["bytes_per_row"] == each["bytes_per_row"]
            for each in measured.by_set[name]
        )
    ]
    if alone:
        lines.append(f"* Leads without RQ of the same bytes among the peers, which may flatter: {', '.join(alone)}.")
    votes = [
        (name, pair.vote_lead) for name, b, pair in measured.comparisons() if b == 1 and pair.vote_lead is not None
    ]
    lost = [f"{name} ({lead:+.1f})" for name, lead in votes if lead < -VOTE_BAR]
    line = f"* 3-NN accuracy at 1 bit within {VOTE_BAR:g} points of exact search: "
    lines.append(
        line + (f"missed on {', '.join(lost)} of {len(votes)} labelled sets." if lost else "met on every set.")
    )
    if measured.skipped:
        reasons: dict[str, list[str]] = {}
        for entry in measured.skipped:
            reasons.setdefault(entry["skipped"], []).append(f"{entry['method']} on {entry['set']}")
        gone = "; ".join(f"{', '.join(dict.fromkeys(names))} ({reason})" for reason, names in reasons.items())
        lines.append(f"* Peers that gave no figure, and so cannot be the best: {gone}.")
    return "\n".join(lines)


def _at_the_bound(bound: dict[str, Any] | None, pair: Comparison) -> str:
    """What the lead would be at the rate-distortion bound."""
    return "" if bound is None else f"; at the bound {100 * (bound['recall10'] - pair.peer['recall10']):+.1f}"


def _ceilings(measured: Measured) -> str:
    rows = []
    for name in dict.fromkeys(each["set"] for each in measured.ceilings):
        for bits, bar in BARS.items():
            bound = measured.ceiling(name, bits)
            if bound is None or name not in measured.by_set:
                continue
            pair = Comparison.of(measured.by_set[name], bits)
            n, asked = measured.by_set[name][0]["n"], pair.peer["recall10"] + bar / 100 if pair.peer else None
            said = "-" if asked is None else f"{asked:.3f}" + (" (beyond)" if asked > bound["recall10"] else "")
            rows.append(
                [
                    name,
                    f"{n:,}" if _same_size(n, bound) else f"{n:,} (bound: {bound['n']:,})",
                    f"{bits:g}",
                    f"{bound['recall10']:.3f}",
                    *("-" if each is None else f"{each['recall10']:.3f}" for each in pair),
                    said,
                ]
            )
    return table(["set", "rows", "bits", "recall@10 at the bound", "auto", "best peer", "what the bar asks"], rows)


def _same_size(n: int, bound: dict[str, Any]) -> bool:
    """Whether as many rows are indexed, but for an odd one: among fewer, neighbours are found more easily."""
    return abs(n - bound["n"]) <= 1


def _distortions(measured: Measured) -> str:
    lloyd = {each["bits"]: each["error"] for each in measured.distortions if each["code"] == "Lloyd-Max"}
    rows = []
    for each in measured.distortions:
        if each["code"] == "chain":
            scalar, least = lloyd.get(each["bits"]), 4.0 ** -each["bits"]
            short = 10 * np.log10(each["error"] / least)
            cells = [
                f"{each['error']:.3g}",
                "" if scalar is None else f"{scalar:.3g}",
                f"{least:.3g}",
                f"{short:.2f} dB",
            ]
            rows.append([" ".join(map(str, each["pattern"])), f"{each['bits']:.3g}", *cells])
    return table(["columns of nibbles", "bits a column", "chain", "Lloyd-Max", "bound", "chain above bound"], rows)


def _published(measured: Measured) -> str:
    """The seeds' methods at the bytes of ``auto``, where they are measured."""
    methods = ("LPLR lplr", "LPLR lsvd", "LPLR dsvd", "LPLR nq")
    rows = []
    for name, entries in measured.by_set.items():
        for bits in BARS:
            found = {e["method"]: e for e in entries if e["group"] == "ours" and e["bits"] == bits}
            if AUTO in found and any(method in found for method in methods):
                recalls = [f"{found[m]['recall10']:.3f}" if m in found else "-" for m in (AUTO, *methods)]
                rows.append([name, f"{bits:g}", *recalls])
    if not rows:
        return ""
    head = ["set", "bits", "auto", *(method.removeprefix("LPLR ") for method in methods)]
    return f"The published methods at the same bytes, recall@10:\n\n{table(head, rows)}"


def _ablations(measured: Measured) -> str:
    """Points that variants find more or less than the usual recipe, where they are measured."""
    of = {
        (name, entry["bits"], entry["method"]): entry["recall10"]
        for name, entries in measured.by_set.items()
        for entry in entries
        if entry["group"] == "ablations"
    }
    columns = [(name, bits) for name, bits, method in of if method == "usual"]
    if not columns:
        return ""
    rows = []
    for variant in dict.fromkeys(method for *_, method in of):
        found = [(of[*column, "usual"], of.get((*column, variant))) for column in columns]
        if variant == "usual":
            rows.append(["the usual recipe: recall@10", *(f"{usual:.3f}" for usual, _ in found)])
        else:
            rows.append([variant, *("-" if got is None else f"{100 * (got - usual):+.1f}" for usual, got in found)])
    rows.sort(key=lambda row: row[0] != "the usual recipe: recall@10")
    changes = table(["variant", *(f"{name}, {_budget(bits)}" for name, bits in columns)], rows)
    return (
        "## One part changed at a time\n\n"
        "Points of recall@10 more or less than the usual recipe, which is not `auto` itself: `auto` chooses the power "
        f"and the number of centroids for each set and budget, the usual recipe has one centroid.\n\n{changes}"
    )


def draw(measured: Measured) -> None:
    """Draw both pictures."""
    from matplotlib import rc_context

    look = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    with rc_context(look):
        _draw_recall(measured)
        _draw_distortions(measured)


def _draw_recall(measured: Measured) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.8), dpi=150, layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True).flat
    for (name, entries), panel in zip(measured.by_set.items(), panels, strict=False):
        d = entries[0]["d"]
        peers = sorted((8 * e["bytes_per_row"] / d, e["recall10"]) for e in entries if e["group"] == "peers")
        ours = sorted((8 * e["bytes_per_row"] / d, e["recall10"]) for e in entries if e["method"] == AUTO)
        best = [pair for at, pair in enumerate(peers) if pair[1] > max((r for _, r in peers[:at]), default=0)]
        panel.plot(*zip(*peers, strict=True), ".", color="#999999", markersize=4, label="peers")
        panel.plot(*zip(*best, strict=True), "-", color=PEER_COLOUR, drawstyle="steps-post", label="best peer so far")
        if ours:
            panel.plot(*zip(*ours, strict=True), "o-", color=OURS_COLOUR, linewidth=2.2, markersize=5, label="auto")
        bounds = [measured.ceiling(name, bits) for bits in BARS]
        bound = [(each["bits"], each["recall10"]) for each in bounds if each and _same_size(entries[0]["n"], each)]
        if bound:
            panel.plot(*zip(*bound, strict=True), ":", color=BOUND_COLOUR, label="rate-distortion bound (Gaussian)")
        panel.set_title(f"{name}, d = {d}", loc="left", fontsize=9)
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(BARS), [f"{bits:g}" for bits in BARS])
        panel.set_xlim(0.3, 5)
        panel.set_ylim(0, 1)
        panel.grid(axis="y", color=GRID)
    for panel in panels:  # what is left over
        panel.set_axis_off()
    named = {
        label: line for panel in figure.axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=4, frameon=False)
    figure.supxlabel("bits per coordinate")
    figure.supylabel("recall@10")
    _save(figure, "quality.png")


def _draw_distortions(measured: Measured) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for code, colour, mark in (("Lloyd-Max", PEER_COLOUR, "s"), ("chain", OURS_COLOUR, "o")):
        points = sorted((each["bits"], each["error"]) for each in measured.distortions if each["code"] == code)
        if code == "Lloyd-Max":  # below one bit, only some columns get one
            one = points[0][1]
            shared = [(bits, 1 - bits * (1 - one)) for bits in np.geomspace(1 / 8, 1, 30)]
            _plot_loss(axes, shared, color=colour, linestyle="--", label="Lloyd-Max for some columns only")
        _plot_loss(axes, points, color=colour, marker=mark, label=code)
    axes.axhline(0, color=BOUND_COLOUR, linestyle=":", label="rate-distortion bound")
    ticks = [2.0**power for power in range(-3, 3)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("bits a column")
    axes.set_title("squared error above the bound, dB (Gaussian columns)", loc="left", fontsize=9)
    axes.grid(axis="y", color=GRID)
    axes.legend(frameon=False)
    _save(figure, "distortion.png")


def _plot_loss(axes: Any, points: Sequence[tuple[float, float]], **look: Any) -> None:
    """A line of losses in decibels for points (bits, error)."""
    axes.plot([bits for bits, _ in points], [10 * np.log10(error * 4.0**bits) for bits, error in points], **look)


def _save(figure: Any, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / name, metadata={"Software": None})  # the same figures give the same file


def merge(paths: Sequence[Path]) -> None:
    """Take entries on the sets of the page into the results."""
    results = Results(MEASURED)
    for path in paths:
        results.add(*(entry for entry in json.loads(path.read_text("utf-8")) if entry["set"] in SETS))


def main() -> None:
    """Parse the command line, merge, draw and write or print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    merge(options.merge)
    measured = Measured()
    parts = sections(measured)
    if options.write:
        draw(measured)
        write(PAGE, parts)
    else:
        print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
