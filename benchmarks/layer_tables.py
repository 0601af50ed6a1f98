"""What layers.py measured, as the tables, sentences and pictures of docs/layers.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from layer_ways import BY_ROW, CALIBRATED, PAPER_BITS, ways, wins
from pages import DOCS, table
from published import PUBLISHED

PAGE = DOCS / "layers.md"
IMAGES = DOCS / "images"
MEASURED = Path(__file__).parent / "results" / "layers.json"
NETWORKS = {"minilm": "MiniLM", "efficientnet": "EfficientNet-Lite0"}
LLAMA = "LLaMA-7B layers"
LLAMA_WINS = {(8, 8, 4): "134 and 172 of 226", (4, 4, 4): "166 and 169 of 225"}
"""In how many layers the error of LPLR, and of LSVD, is below NQ's: read off figures of the code's repository."""

MATRICES = "the matrices"
INT8 = "torch int8"
BITS = (1, 2, 3, 4)
MORE_BITS = 8
WAYS = tuple(ways(PAPER_BITS))
MOST = 0.75
"""Of the layers, that a way must have to be called the best of them: what a rotation takes, small layers cannot pay."""

FLOAT_BYTES = 4

Entry = dict[str, Any]
Errors = list[float | None]


class Measured:
    """What is in the file."""

    def __init__(self, entries: list[Entry]) -> None:
        about = {each["network"]: each for each in entries if each["way"] == MATRICES}
        self.about: dict[str, Entry] = {network: about[network] for network in NETWORKS if network in about}
        self._entries = {
            (each["network"], each["way"], each["bits"]): each for each in entries if each["way"] != MATRICES
        }

    @classmethod
    def read(cls) -> Measured:
        """Return what is in the committed results."""
        return cls(json.loads(MEASURED.read_text("utf-8")))

    def ways(self, network: str) -> list[str]:
        """Return the names of the ways that were measured."""
        return [way for way in WAYS if any((network, way, bits) in self._entries for bits in (*BITS, MORE_BITS))]

    def of(self, network: str, way: str, bits: int) -> Entry | None:
        """Return an entry, if there is one."""
        return self._entries.get((network, way, bits))

    def errors(self, network: str, way: str, bits: int, kind: str = "errors") -> Errors:
        """Return a list in the order of the matrices; None where there is nothing."""
        entry = self.of(network, way, bits)
        return entry[kind] if entry else [None] * len(self.about[network]["names"])

    def layers(self, network: str) -> list[int]:
        """Return which matrices are multiplied with inputs, row by column: neither embeddings nor depthwise."""
        return [at for at, is_one in enumerate(self.about[network]["calibrated"]) if is_one]

    def of_layers(self, network: str, way: str, bits: int, kind: str = "errors") -> list[float]:
        """Return the errors of those."""
        errors = self.errors(network, way, bits, kind)
        return [each for at in self.layers(network) if (each := errors[at]) is not None]

    def spent(self, network: str, way: str, bits: int) -> float | None:
        """Return the bits an entry that a way took for the layers, all together; None where it has none of them."""
        nbytes = self.errors(network, way, bits, "bytes")
        shapes = self.about[network]["shapes"]
        made = [at for at in self.layers(network) if nbytes[at] is not None]
        entries = sum(shapes[at][0] * shapes[at][1] for at in made)
        return 8 * sum(nbytes[at] or 0 for at in made) / entries if made else None

    def wins(self, network: str, way: str, bits: int) -> tuple[int, int]:
        """Return in how many matrices a way has a lower error than NQ, and in how many both have one."""
        return wins(self.errors(network, way, bits), self.errors(network, "NQ", bits))


def sections(measured: Measured) -> dict[str, str]:
    """Every part of the page by the name of its place."""
    parts = {"matrices": _matrices(measured), "llama": _llama(measured), "wins": _wins(measured)}
    for network in measured.about:
        parts[f"{network} errors"] = _by_bits(measured, network, "errors")
        parts[f"{network} activations"] = _by_bits(measured, network, "activations")
    return parts | {
        "calibration": _calibration(measured),
        "others": _others(measured),
        "left": _left(measured),
        "missing": _missing(measured),
        "sentences": _sentences(measured),
        "kept": _kept(measured),
    }


def _matrices(measured: Measured) -> str:
    rows = []
    for network, about in measured.about.items():
        kinds: dict[str, list[list[int]]] = {}
        for name, shape, calibrated in zip(about["names"], about["shapes"], about["calibrated"], strict=True):
            kinds.setdefault(_kind(name, calibrated=calibrated), []).append(shape)
        for kind, shapes in kinds.items():
            smallest, largest = (pick(shapes, key=lambda shape: shape[0] * shape[1]) for pick in (min, max))
            entries = sum(n * d for n, d in shapes)
            ends = f"{smallest[0]} x {smallest[1]} to {largest[0]:,} x {largest[1]:,}"
            rows.append([NETWORKS[network], kind, str(len(shapes)), ends, f"{entries:,}"])
    return table(["network", "matrices", "number", "shapes", "entries"], rows)


def _kind(name: str, *, calibrated: bool) -> str:
    if calibrated:
        return "layers"
    return "embeddings" if "embedding" in name else "depthwise"


def _llama(measured: Measured) -> str:
    rows = []
    for nbits in (8, 4):
        setting = (nbits, nbits, 4)
        theirs = {each.method: each.error for each in PUBLISHED if each.data == LLAMA and each.bits == setting}
        theirs.setdefault("nq", next(e.error for e in PUBLISHED if e.data == LLAMA and e.method == "nq"))
        cells = [f"{theirs[method]:.3f}" for method in ("lplr", "lsvd", "nq")]
        label = ", ".join(map(str, setting))
        rows.append([label, f"{LLAMA}, published", *cells, LLAMA_WINS[setting]])
        for network, name in NETWORKS.items():
            if network in measured.about:
                names = (f"LPLR {nbits}/{nbits}", f"LSVD {nbits}/{nbits}", "NQ")
                cells = [_spread(measured.errors(network, way, 4)) for way in names]
                won = [measured.wins(network, way, 4) for way in names[:2]]
                rows.append([label, name, *cells, f"{won[0][0]} and {won[1][0]} of {won[0][1]}"])
    return table(["B, B', B_nq", "layers of", "LPLR", "LSVD", "NQ", "LPLR and LSVD better than NQ"], rows)


def _spread(errors: Errors) -> str:
    found = [each for each in errors if each is not None]
    return f"{mean(found):.3f} ± {stdev(found):.3f}" if len(found) > 1 else "-"


def _wins(measured: Measured) -> str:
    networks = list(measured.about)
    rows = []
    for way in dict.fromkeys(way for network in networks for way in measured.ways(network)):
        if way != "NQ":
            won = [measured.wins(network, way, bits) for network in networks for bits in BITS]
            rows.append([way, *(f"{count} of {both}" if both else "-" for count, both in won)])
    return table(["way", *(f"{NETWORKS[network]}, {_said(bits)}" for network in networks for bits in BITS)], rows)


def _said(bits: int) -> str:
    return "1 bit" if bits == 1 else f"{bits} bits"


def _by_bits(measured: Measured, network: str, kind: str) -> str:
    """A table of medians over the layers; the lowest of each column in bold."""
    names, whole = measured.ways(network), len(measured.layers(network))
    found = {(way, bits): measured.of_layers(network, way, bits, kind) for way in names for bits in BITS}
    competing = [(way, bits) for way, bits in found if way != BY_ROW and len(found[way, bits]) >= MOST * whole]
    best = {bits: min((median(found[each]) for each in competing if each[1] == bits), default=0) for bits in BITS}
    rows = []
    for way in names:
        cells = []
        for bits in BITS:
            errors, spent = found[way, bits], measured.spent(network, way, bits)
            if not errors or spent is None:
                cells.append("-")
                continue
            text = f"{median(errors):.3f}"
            text = f"**{text}**" if (way, bits) in competing and median(errors) == best[bits] else text
            cells.append(text + (f" ({len(errors)})" if len(errors) < whole else "") + f", {spent:.2f}")
        rows.append([way, *cells])
    return table(["way", *map(_said, BITS)], rows)


def _calibration(measured: Measured) -> str:
    """What calibration does to both errors."""
    rows = []
    for network in measured.about:
        for way in ("Q alone", "CALDERA"):
            for bits in BITS:
                weights, seen = (
                    [measured.of_layers(network, each, bits, kind) for each in (way, way + CALIBRATED)]
                    for kind in ("errors", "activations")
                )
                if len(seen[0]) == len(seen[1]) > 0:
                    times = [median(b / a for a, b in zip(*pair, strict=True)) for pair in (seen, weights)]
                    won, both = wins(seen[1], seen[0])
                    cells = [f"{times[0]:.2f}", f"{won} of {both}", f"{times[1]:.2f}"]
                    rows.append([NETWORKS[network], way, str(bits), *cells])
    head = ["network", "way", "bits", "error on held-out inputs, times", "lower in", "error of the weights, times"]
    return table(head, rows)


def _others(measured: Measured) -> str:
    """The matrices that are no layers, at two and four bits."""
    groups: dict[tuple[str, str], list[int]] = {}
    for network, about in measured.about.items():
        for at, name in enumerate(about["names"]):
            if not about["calibrated"][at]:
                n, d = about["shapes"][at]
                kind = f"{name.split('.')[-2].replace('_', ' ')}, {n:,} x {d}"
                groups.setdefault((network, kind if "embedding" in name else f"depthwise, {d} columns"), []).append(at)
    rows = []
    for bits in (2, 4):
        for way in dict.fromkeys(way for network in measured.about for way in measured.ways(network)):
            cells = []
            for (network, _), places in groups.items():
                errors = measured.errors(network, way, bits)
                found = [each for at in places if (each := errors[at]) is not None]
                short = f" ({len(found)} of {len(places)})" if len(found) < len(places) else ""
                cells.append(f"{median(found):.3f}{short}" if found else "-")
            if set(cells) != {"-"}:
                rows.append([way, str(bits), *cells])
    return table(["way", "bits", *(kind for _, kind in groups)], rows)


def _left(measured: Measured) -> str:
    """What has no figure, by reason."""
    lines = []
    for network in measured.about:
        whole = len(measured.about[network]["names"])
        for way in measured.ways(network):
            by_bits = {
                bits: entry["reasons"]
                for bits in BITS
                if (entry := measured.of(network, way, bits)) and entry["reasons"]
            }
            if by_bits:
                said = ", ".join(
                    f"all at {_said(bits)}" if len(reasons) == whole else f"{len(reasons)} at {_said(bits)}"
                    for bits, reasons in by_bits.items()
                )
                lines.append([NETWORKS[network], way, said, _common(by_bits)])
    return table(["network", "way", "matrices without a figure", "most frequent reason"], lines)


def _missing(measured: Measured) -> str:
    """What no run has come to."""
    lines = []
    for network in measured.about:
        for bits in BITS:
            gone = [way for way in ways(bits) if measured.of(network, way, bits) is None]
            if gone:
                lines.append(f"* {NETWORKS[network]}, {_said(bits)}: {'; '.join(gone)}.")
    if not lines:
        return "Everything was measured."
    return "\n".join(["These were not measured; the first command goes on with them:", "", *lines])


def _common(by_bits: dict[int, dict[str, str]]) -> str:
    """The reason that is given most often, with the figures of one matrix."""
    found = [reason for reasons in by_bits.values() for reason in reasons.values()]
    kinds = ["".join(letter for letter in reason if not letter.isdigit()) for reason in found]
    most = max(dict.fromkeys(kinds), key=kinds.count)
    return found[kinds.index(most)]


def sentence_rows(measured: Measured) -> Iterator[tuple[str, int, float, Entry]]:
    """Yield ways, bits, bits an entry that the encoder's matrices take, and the entry."""
    about = measured.about["minilm"]
    inner = [at for at, name in enumerate(about["names"]) if ".encoder." in name]
    entries = sum(about["shapes"][at][0] * about["shapes"][at][1] for at in inner)
    for way in (*measured.ways("minilm"), INT8):
        for bits in (*BITS, MORE_BITS):
            entry = measured.of("minilm", way, bits)
            if entry and "encoder" in entry:
                yield way, bits, 8 * sum(entry["bytes"][at] for at in inner) / entries, entry


def _kept(measured: Measured) -> str:
    """What the summary says of sentences."""
    shown = (INT8, "Q alone", f"Q alone{CALIBRATED}", f"CALDERA{CALIBRATED}", "LSVD 4/4 by column", BY_ROW)
    found = {(way, bits): entry["encoder"]["both"] for way, bits, _, entry in sentence_rows(measured)}
    parts = [
        f"{way} {' and '.join(f'{found[way, bits]:.2f} at {bits}' for bits in (8, 4, 2) if (way, bits) in found)}"
        for way in shown
        if any((way, bits) in found for bits in (8, 4, 2))
    ]
    return f"Of the ten nearest neighbours among posts, MiniLM keeps with {'; with '.join(parts)} bits."


def _sentences(measured: Measured) -> str:
    about = measured.about["minilm"]
    sizes = [n * d for n, d in about["shapes"]]
    inner = [at for at, name in enumerate(about["names"]) if ".encoder." in name]
    rows = []
    for way, bits, _, entry in sorted(sentence_rows(measured), key=lambda row: (row[1], -row[3]["encoder"]["both"])):
        nbytes = sum(entry["bytes"][at] for at in inner)
        model = nbytes + FLOAT_BYTES * (about["parameters"] - sum(sizes[at] for at in inner))
        kept = entry["encoder"]
        cells = [f"{kept['both']:.3f}", f"{kept['queries']:.3f}", f"{kept['cosine']:.3f}"]
        more = ["-", "-"]
        if "everything" in entry:
            left = FLOAT_BYTES * (about["parameters"] - sum(sizes))
            more = [f"{(sum(entry['bytes']) + left) / 1e6:.1f}", f"{entry['everything']['both']:.3f}"]
        rows.append([way, str(bits), f"{nbytes / 1e6:.2f}", f"{model / 1e6:.1f}", *cells, *more])
    head = ["way", "bits", "encoder, MB", "model, MB", "recall@10", "of queries alone", "cosine"]
    return table([*head, "all matrices, MB", "recall@10 of that"], rows)
