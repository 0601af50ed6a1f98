"""The tables of docs/paper.md, from what paper.py has measured and what was published."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from pages import table
from published import OURS_BESIDE, PUBLISHED, Published
from quality import Entry, Results

METHODS = ("lplr", "lsvd", "dsvd", "nq")
NAMES = {"lplr": "LPLR", "lsvd": "LSVD", "dsvd": "DSVD", "nq": "NQ", "auto": "auto", "unquantized": "unquantized"}
PUBLISHED_ON = {
    (4, 8, 1): "Shepp-Logan phantom, brain MRI",
    (4, 8, 2): "Shepp-Logan phantom",
    (2, 8, 1): "image of Jupiter",
    (4, 4, 4): "layers of LLaMA-7B",
}
NONE = "-"
LEAK_BUDGETS = (1, 4)


class Measured:
    """The entries of some sets, to be asked for figures."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = [entry for entry in entries if "skipped" not in entry]
        self.sets = list(dict.fromkeys(entry["set"] for entry in self.entries))

    def find(self, **about: Any) -> list[Entry]:
        """The entries, one a seed, that are about all of this; about the protocol where nothing else is said."""
        wanted = {"factors": "global", "queries": "held out"} | about
        return [entry for entry in self.entries if all(entry[name] == value for name, value in wanted.items())]

    def of(self, name: str, method: str, triple: tuple[int, int, int], **about: Any) -> list[Entry]:
        """Those of a method at some bits."""
        nbits, nbits_R, bits = triple
        return self.find(set=name, method=method, nbits=nbits, nbits_R=nbits_R, bits=bits, **about)

    def exact(self, name: str, **about: Any) -> list[Entry]:
        """Those of the rows as they are."""
        return self.find(set=name, method="unquantized", **about)

    def triples(self, part: str) -> list[tuple[int, int, int]]:
        """The bits (B, B', B_nq) of the published methods in a part."""
        found = [entry for entry in self.entries if entry["part"] == part and entry["method"] in METHODS]
        return list(dict.fromkeys((entry["nbits"], entry["nbits_R"], entry["bits"]) for entry in found))


def shown(entries: Sequence[Entry], figure: str, *, per_cent: bool = True) -> str:
    """The mean over seeds, and the standard deviation where there are several."""
    values = [entry[figure] * (100 if per_cent else 1) for entry in entries]
    if not values:
        return NONE
    digits = 1 if per_cent else 3
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def sections(results: Results) -> dict[str, str]:
    """Every part of the page, by its name."""
    measured = Measured(results.entries)
    return {
        "sets": _sets(measured),
        "beside": _beside(measured),
        "accuracy": _by_method(measured, "accuracy"),
        "f1": _by_method(measured, "f1"),
        "error": _errors(measured),
        "triples": _triples(measured),
        "leak": _leak(measured),
        "leaks": _leaks_in_words(measured),
    }


def _sets(measured: Measured) -> str:
    rows = []
    for name in measured.sets:
        one = measured.exact(name)[0]
        beside = ", ".join(data for data, ours in OURS_BESIDE.items() if _beside_of(measured, ours) == name) or NONE
        sizes = [f"{one['n']:,} x {one['d']}", f"{one['nq']:,}", f"{one['classes']}"]
        rows.append([name, *sizes, shown([one], "accuracy"), shown([one], "f1"), beside])
    return table(["set", "rows", "queries", "classes", "accuracy", "weighted F1", "stands beside"], rows)


def _by_method(measured: Measured, figure: str) -> str:
    rows = []
    for name in measured.sets:
        for triple in measured.triples("methods"):
            found = {method: measured.of(name, method, triple) for method in (*METHODS, "auto")}
            rank = f"{found['lplr'][0]['rank']}" if found["lplr"] else NONE
            cells = [shown(entries, figure) for entries in found.values()]
            rows.append([name, f"{triple[2]}", rank, *cells, shown(measured.exact(name), figure)])
    return table(["set", "B_nq", "rank", *(NAMES[one] for one in (*METHODS, "auto")), "unquantized"], rows)


def _errors(measured: Measured) -> str:
    rows = []
    for name in measured.sets:
        for triple in measured.triples("methods"):
            auto = measured.of(name, "auto", triple)
            found = [*(measured.of(name, method, triple) for method in METHODS), auto]
            cells = [shown(entries, "error", per_cent=False) for entries in found]
            bits = f"{statistics.mean(one['bits_per_entry'] for one in auto):.2f}" if auto else NONE
            rows.append([name, f"{triple[2]}", *cells, bits])
    return table(["set", "B_nq", *(NAMES[one] for one in (*METHODS, "auto")), "bits of auto, all counted"], rows)


def _triples(measured: Measured) -> str:
    rows = []
    for triple in measured.triples("triples"):
        for name in measured.sets:
            found = [measured.of(name, method, triple) for method in METHODS]
            if not found[0]:
                continue
            errors = [shown(entries, "error", per_cent=False) for entries in found]
            votes = [shown(entries, "accuracy") for entries in found]
            bits = ", ".join(map(str, triple))
            rows.append([bits, PUBLISHED_ON.get(triple, NONE), name, f"{found[0][0]['rank']}", *errors, *votes])
    names = [NAMES[one] for one in METHODS]
    heads = [*(f"error {name}" for name in names), *(f"accuracy {name}" for name in names)]
    return table(["B, B', B_nq", "published on", "set", "rank", *heads], rows)


def _beside(measured: Measured) -> str:
    rows = []
    for one in PUBLISHED:
        there = [_plain(one.error), _plain(one.accuracy), _plain(one.weighted_f1)]
        name = _beside_of(measured, OURS_BESIDE.get(one.data, ()))
        here = _ours(measured, name, one) if name else []
        figures = [
            NONE if one.bits is None else shown(here, "error", per_cent=False),
            shown(here, "accuracy"),
            shown(here, "f1"),
        ]
        bits = NONE if one.bits is None else ", ".join(map(str, one.bits))
        rows.append([one.data, bits, NAMES[one.method], *there, one.where, name or "none here", *figures])
    head = ["published on", "B, B', B_nq", "method", "error", "accuracy", "F1", "where"]
    return table([*head, "ours on", "error", "accuracy", "F1"], rows)


def _ours(measured: Measured, name: str, one: Published) -> list[Entry]:
    return measured.exact(name) if one.bits is None else measured.of(name, one.method, one.bits)


def _beside_of(measured: Measured, names: Sequence[str]) -> str | None:
    """The first of these sets that is measured."""
    return next((name for name in names if name in measured.sets), None)


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:g}"


def _leak(measured: Measured) -> str:
    rows = []
    for name in measured.sets:
        for triple in measured.triples("methods"):
            if triple[2] not in LEAK_BUDGETS:
                continue
            for method in METHODS:
                one = measured.of(name, method, triple, factors="per class")
                votes = [shown(entries, "accuracy") for entries in _four(measured, name, method, triple)]
                errors = [shown(one, each, per_cent=False) for each in ("error", "error_in_other_order")]
                rows.append([name, f"{triple[2]}", NAMES[method], *votes, *errors])
    heads = ["global, held out", "per class, held out", "global, training rows", "per class, training rows"]
    return table(["set", "B_nq", "method", *heads, "error per class", "the same, shuffled"], rows)


def _four(measured: Measured, name: str, method: str, triple: tuple[int, int, int]) -> Iterator[list[Entry]]:
    """The protocol, each leak alone, and both at once."""
    for queries in ("held out", "training rows"):
        for factors in ("global", "per class"):
            yield measured.of(name, method, triple, factors=factors, queries=queries)


def _leaks_in_words(measured: Measured) -> str:
    lines = []
    for queries in ("held out", "training rows"):
        said = []
        for factors in ("global", "per class"):
            found = [each for each in measured.find(factors=factors, queries=queries) if each["method"] in METHODS]
            found = [each for each in found if (each["nbits"], each["nbits_R"]) == (8, 8)]
            above = [each for each in found if each["accuracy"] > measured.exact(each["set"])[0]["accuracy"]]
            said.append(f"{len(above)} of {len(found)} with {factors} factors")
        what = "Held-out queries" if queries == "held out" else "Queries that are training rows"
        lines.append(f"* {what}: above unquantized rows and held-out queries lie {' and '.join(said)}.")
    for name in measured.sets:
        known = measured.exact(name, queries="training rows")
        if known:
            plain = f"{shown(measured.exact(name), 'accuracy')} with held-out queries"
            lines.append(f"* {name}, unquantized: {plain}, {shown(known, 'accuracy')} with training rows as queries.")
    return "\n".join(lines)
