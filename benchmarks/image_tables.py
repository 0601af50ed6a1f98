"""What images.py measured, as the tables and sentences of docs/images.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from pages import DOCS, table

PAGE = DOCS / "images.md"
MEASURED = Path(__file__).parent / "results" / "images.json"
PEERS = ("JPEG", "WebP")
PUBLISHED = ("LPLR", "LSVD", "DSVD", "NQ")
OURS = "LSVD 4"
LAYOUTS = {0: "its rows", 8: "8 x 8", 16: "16 x 16"}

Entry = dict[str, Any]


def sections(found: dict[str, list[Entry]]) -> dict[str, str]:
    """Every part of the page by the name of its place."""
    photographs = found["photographs"]
    return {
        "settings": _settings(found["settings"]),
        "photographs": _photographs(photographs),
        "verdict": _verdict(photographs),
        "qmf": _qmf(photographs),
        "layouts": _layouts(photographs),
        "channels": _channels(found["channels"]),
        "files": _files(photographs),
    }


def _made(entries: Iterable[Entry]) -> list[Entry]:
    """Those that are pictures."""
    return [each for each in entries if "reason" not in each]


def _distinct(entries: Iterable[Entry], name: str) -> list[Any]:
    """The values of ``name``, each once, as they come."""
    return list(dict.fromkeys(tuple(each[name]) if isinstance(each[name], list) else each[name] for each in entries))


def _ours(entries: list[Entry]) -> list[str]:
    """The methods of this package that made any picture."""
    return [each for each in _distinct(_made(entries), "method") if each not in PEERS]


def _quality(entry: Entry | None) -> str:
    """PSNR and SSIM of an entry."""
    if entry is None or "reason" in entry:
        return "-"
    return "exact" if entry["psnr"] is None else f"{entry['psnr']:.1f}, {entry['ssim']:.3f}"


def _settings(entries: list[Entry]) -> str:
    rows = []
    for name in _distinct(entries, "picture"):
        for setting in _distinct(entries, "setting"):
            here = {e["method"]: e for e in entries if e["picture"] == name and tuple(e["setting"]) == setting}
            ours = [f"{here[method]['error']:.3f}; {_quality(here[method])}" for method in PUBLISHED]
            peers = [f"{_quality(here[peer])}; {here[peer]['bytes']:,}" for peer in PEERS]
            about = [name, ", ".join(map(str, setting)), str(here["LPLR"]["rank"]), f"{here['LPLR']['bytes']:,}"]
            rows.append([*about, *ours, *peers])
    return table(["picture", "B, B', B_nq", "rank", "bytes", *PUBLISHED, *PEERS], rows)


def _photographs(entries: list[Entry]) -> str:
    methods = _ours(entries)
    others = [each for each in methods if each not in (*PUBLISHED, OURS)]
    rows = []
    for name in _distinct(entries, "picture"):
        for bits in _distinct(entries, "bits"):
            here = [each for each in entries if each["picture"] == name and each["bits"] == bits]
            at = {(each["method"], each["patch"]): each for each in here}
            cells = [_quality(at[method, 0]) for method in (*PUBLISHED, OURS)]
            cells += [_quality(at[OURS, patch]) for patch in LAYOUTS if patch]
            cells += [_quality(_best([e for e in here if e["method"] == method])) for method in others]
            rows.append([name, f"{bits:g}", *cells, *(_quality(at[peer, 0]) for peer in PEERS)])
    layouts = [f"{OURS}, {LAYOUTS[patch]}" for patch in LAYOUTS if patch]
    return table(["picture", "bits", *PUBLISHED, OURS, *layouts, *others, *PEERS], rows)


def _best(entries: list[Entry]) -> Entry | None:
    return max(_made(entries), key=lambda each: each["psnr"], default=None)


class _Round(NamedTuple):
    """A comparison at equal bytes: of what, our pictures, and the peers that have a file so small."""

    name: str
    bits: float
    patch: int
    ours: list[Entry]
    peers: Entry

    @property
    def place(self) -> str:
        rows = f"patches of {self.patch}" if self.patch else "its rows"
        return f"{self.name} at {self.bits:g} bits, {rows}"


def _rounds(entries: list[Entry]) -> list[_Round]:
    """Every comparison in which there is a picture of ours."""
    rounds = []
    for name in _distinct(entries, "picture"):
        for bits in _distinct(entries, "bits"):
            for patch in _distinct(entries, "patch"):
                about = {"picture": name, "bits": bits, "patch": patch}
                here = _made(each for each in entries if about.items() <= each.items())
                peers = {each["method"]: each for each in here if each["method"] in PEERS}
                rounds.append(_Round(name, bits, patch, [e for e in here if e["method"] not in PEERS], peers))
    return [each for each in rounds if each.ours]


def _verdict(entries: list[Entry]) -> str:
    rounds = _rounds(entries)
    lines = [line for peer in PEERS for line in _against(rounds, peer)]
    gaps = [f"{_gap(entries, bits):.1f} dB at {bits:g}" for bits in _distinct(entries, "bits")]
    lines.append(f"* From the best method and layout to JPEG, mean of the pictures: {', '.join(gaps)} bits a pixel.")
    for one, other in (("LPLR", "NQ"), ("LPLR", "DSVD"), ("LSVD", "DSVD"), (OURS, "DSVD")):
        pairs = [
            (mine["psnr"], theirs["psnr"])
            for each in rounds
            for mine in each.ours
            for theirs in each.ours
            if (mine["method"], theirs["method"]) == (one, other)
        ]
        won = sum(mine > theirs for mine, theirs in pairs)
        lines.append(f"* {one} has a higher PSNR than {other} in {won} of {len(pairs)} comparisons.")
    return "\n".join(lines)


def _against(rounds: list[_Round], peer: str) -> list[str]:
    """What there is to say of our pictures beside those of a peer."""
    lines = []
    met = [each for each in rounds if peer in each.peers]
    for measure, words, digits in (("psnr", "PSNR", 1), ("ssim", "SSIM", 3)):
        lost = {
            each.place: [(e["method"], e[measure]) for e in each.ours if e[measure] >= each.peers[peer][measure]]
            for each in met
            if any(e[measure] >= each.peers[peer][measure] for e in each.ours)
        }
        line = (
            f"* {peer} has a higher {words} than every method here in {len(met) - len(lost)} of {len(met)} comparisons"
        )
        theirs = {each.place: each.peers[peer][measure] for each in met}
        behind = [
            f"{place} ({', '.join(f'{name} {value:.{digits}f}' for name, value in winners)}; "
            f"{peer} {theirs[place]:.{digits}f})"
            for place, winners in lost.items()
        ]
        lines.append(f"{line}, all but {'; '.join(behind)}." if behind else f"{line}.")
    if missing := [each.place for each in rounds if peer not in each.peers]:
        lines.append(f"* {peer} has no file as small as ours of {'; '.join(missing)}.")
    return lines


def _gap(entries: list[Entry], bits: float) -> float:
    """What JPEG is ahead of the best of ours in dB, mean of the pictures of which both have one."""
    gaps = []
    for name in _distinct(entries, "picture"):
        here = _made(each for each in entries if each["picture"] == name and each["bits"] == bits)
        jpeg, ours = (
            [each["psnr"] for each in here if (each["method"] in PEERS) == wanted and each["method"] != "WebP"]
            for wanted in (True, False)
        )
        if jpeg and ours:
            gaps.append(max(jpeg) - max(ours))
    return mean(gaps)


def _qmf(entries: list[Entry]) -> str:
    """What is seen of the claim of QMF."""
    claim = 'QMF ([arXiv 2408.12691](https://arxiv.org/abs/2408.12691)) claims to beat JPEG "below 0.25 bits a pixel".'
    rounds = [
        (each, here.peers["JPEG"])
        for here in _rounds(entries)
        for each in here.ours
        if each["method"] == "QMF" and here.bits <= 0.25 and "JPEG" in here.peers
    ]
    if not rounds:
        return f"{claim}\nThat is not tested in these results, which hold no QMF."
    won = sum(each["psnr"] >= file["psnr"] for each, file in rounds)
    seen = "seen" if won == len(rounds) else "not seen" if not won else "seen in part"
    return (
        f"{claim}\nHere that is {seen}: of {len(rounds)} comparisons at up to 0.25 bits its PSNR is at least JPEG's in "
        f"{won}, and {mean(file['psnr'] - each['psnr'] for each, file in rounds):.1f} dB lower on average.\n"
        "Its integers are packed here, not entropy coded, and the pictures are not those of the paper (Kodak, CLIC)."
    )


def _layouts(entries: list[Entry]) -> str:
    methods = [each for each in _ours(entries) if each != "NQ"]  # which gains nothing by another layout
    rows = []
    for method in methods:
        for bits in _distinct(entries, "bits"):
            by_picture = [
                {
                    each["patch"]: each["psnr"]
                    for each in _made(entries)
                    if (each["method"], each["bits"], each["picture"]) == (method, bits, name)
                }
                for name in _distinct(entries, "picture")
            ]
            whole = [each for each in by_picture if set(each) == set(LAYOUTS)]
            if whole:
                means = [f"{mean(each[patch] for each in whole):.1f}" for patch in LAYOUTS]
                rows.append([method, f"{bits:g}", *means, str(len(whole))])
    return table(["method", "bits", *LAYOUTS.values(), "pictures"], rows)


def _channels(entries: list[Entry]) -> str:
    kinds = [(bits, patch) for patch in _distinct(entries, "patch") for bits in _distinct(entries, "bits")]
    rows = []
    for label in _distinct(entries, "channels"):
        cells = []
        for bits, patch in kinds:
            about = {"channels": label, "bits": bits, "patch": patch}
            here = [each.get("psnr") for each in entries if about.items() <= each.items()]
            cells.append("-" if None in here else f"{mean(here):.1f}")
        rows.append([label, *cells])
    return table(["channels", *(f"{LAYOUTS[patch]}, {bits:g}" for bits, patch in kinds)], rows)


def _files(entries: list[Entry]) -> str:
    shares = {
        method: [each["file_bytes"] / each["bytes"] for each in _made(entries) if each["method"] == method]
        for method in _ours(entries)
    }
    parts = [
        f"{method} {min(each):.2f} to {max(each):.2f}, median {median(each):.2f}" for method, each in shares.items()
    ]
    return f"File bytes for a byte counted: {'; '.join(parts)}."
