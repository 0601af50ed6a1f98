"""The two pictures of docs/layers.md: errors layer by layer, and neighbours kept against bytes."""

from __future__ import annotations

from typing import Any

from layer_tables import IMAGES, NETWORKS, Measured, sentence_rows

LINES = {
    "NQ": ("#999999", "-"),
    "LPLR 4/4": ("#56B4E9", "-"),
    "LSVD 4/4": ("#0072B2", "-"),
    "LSVD 4/4 by column": ("#0072B2", "--"),
    "QET": ("#009E73", "-"),
    "LQ-LORA": ("#CC79A7", "-"),
    "Q alone": ("#E69F00", "-"),
    "CALDERA": ("#D55E00", "-"),
}
"""Ways in the first picture: more would hide each other."""

BITS = (2, 4)
GRID = "#dddddd"
MOST = 1.5
"""Errors above are drawn at the edge: NQ at two bits goes up to dozens."""


def draw(measured: Measured) -> None:
    """Draw both."""
    _draw_errors(measured)
    _draw_sentences(measured)


def _draw_errors(measured: Measured) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), dpi=130, layout="constrained")
    panels = figure.subplots(2, len(measured.about), sharey=True, sharex="col", squeeze=False)
    for column, network in zip(panels.T, measured.about, strict=True):
        for panel, bits in zip(column, BITS, strict=True):
            for way, (colour, style) in LINES.items():
                errors = measured.errors(network, way, bits)
                points = [
                    (at, min(errors[at] or 0.0, MOST)) for at in measured.layers(network) if errors[at] is not None
                ]
                if points:
                    panel.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.3, label=way)
            panel.set_title(f"{NETWORKS[network]}, {bits} bits", loc="left", fontsize=9)
            panel.set_ylim(0, MOST)
            panel.grid(axis="y", color=GRID)
    _legend(figure)
    figure.supxlabel("matrices of layers, from the input to the output")
    figure.supylabel("relative error")
    _save(figure, "layers.png")


def _draw_sentences(measured: Measured) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.6), dpi=130, layout="constrained")
    panel = figure.subplots()
    lines: dict[str, list[tuple[float, float]]] = {}
    for way, _, spent, entry in sentence_rows(measured):
        lines.setdefault(way, []).append((spent, entry["encoder"]["both"]))
    for number, (way, points) in enumerate(lines.items()):
        look = {"color": f"C{number % 10}", "marker": "os^v"[number // 10], "markersize": 4}
        panel.plot(*zip(*sorted(points), strict=True), label=way, linewidth=1.2, **look)
    panel.set_xlabel("bits an entry of the encoder's matrices, everything counted")
    panel.set_ylabel("recall@10 against the uncompressed model")
    panel.set_ylim(0, 1)
    panel.grid(axis="y", color=GRID)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    _save(figure, "layer-sentences.png")


def _legend(figure: Any) -> None:
    named = {
        label: line for panel in figure.axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=len(named), frameon=False, fontsize=8)


def _save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, metadata={"Software": None})  # the same figures give the same file
