"""The README's table and picture, and docs/report.html, drawn from what benchmarks/sets.py measured.

    python benchmarks/figures.py [--write]

`make figures` writes them, and draws from their own results what quality.py, paper.py and speed.py have put into docs/.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from pages import DOCS, table, write
from sets import NAMES, RESULTS

from lplr_index.evaluation import Report, SweepResult, read_json, save_plot
from lplr_index.evaluation.offers import EXACT, OURS
from lplr_index.evaluation.recommendation import AUTO
from lplr_index.reporting import write_page

README = DOCS.parent / "README.md"
MAIN = "newsgroups"
PAGE = DOCS / "report.html"
MORE = 1.25  # times our bytes, that RaBitQ may take in the README's table: it has no smaller size
HEAD = ["index", "bytes a row", "recall@10", "3-NN accuracy"]


def results() -> list[SweepResult]:
    """Read what was measured of each set."""
    return [read_json(RESULTS / f"{name}.json") for name in NAMES]


def faiss_alone(result: SweepResult) -> SweepResult:
    """Leave out who is neither ours nor faiss's: what the demo shows."""
    shown = tuple(each for each in result.reports if each.family.startswith((OURS, "faiss", EXACT)))
    return SweepResult(result.conditions, shown, result.skipped, result.spectrum)


def demo_table(result: SweepResult) -> str:
    """Return the README's table: ours beside faiss's best and its fast scan, the best of the paper's, and RaBitQ."""
    reports = faiss_alone(result).reports
    chosen = []
    for ours in (each for each in reports if each.family == AUTO):
        nbytes = ours.bytes_per_vector
        same = [each for each in reports if each.bytes_per_vector == nbytes and each.family != AUTO]
        fast = [each for each in same if each.family == "faiss PQ fast scan"]
        faiss = [each for each in same if each.family.startswith("faiss") and each not in fast]
        paper = [each for each in same if each.family.startswith(OURS)]
        rabitq = [each for each in reports if each.family == "faiss RaBitQ" and each.bytes_per_vector <= MORE * nbytes]
        chosen += [ours, *_best(faiss), *fast, *_best(paper), *_best(e for e in rabitq if e.bytes_per_vector > nbytes)]
    chosen += [each for each in reports if each.name in {"faiss SQ8", "faiss Flat"}]
    return table(HEAD, [_line(each) for each in chosen])


def thorough_line(result: SweepResult, thorough: SweepResult) -> str:
    """Return what the README says of faiss's OPQ with all of its rounds."""
    theirs = {each.bytes_per_vector: each.recall_at_k for each in thorough.reports if each.family == "faiss OPQ+PQ"}
    ours = {each.bytes_per_vector: each.recall_at_k for each in result.reports if each.family == AUTO}
    sizes = [size for size in ours if size in theirs]
    ahead = [f"{100 * (ours[size] - theirs[size]):.1f}" for size in sizes]
    found = [f"{theirs[size]:.3f}" for size in sizes]
    return (
        f"To be quick, the demo trains faiss's OPQ for a few of its 50 rounds. With all of them (`lplr-index evaluate "
        f"--thorough`,\nminutes) it finds {_listed(found)} of the ten nearest at {_listed([f'{s:g}' for s in sizes])} "
        f"bytes: still {_listed(ahead)} points behind."
    )


def parts() -> dict[str, str]:
    """Return the parts of the README that are drawn from results."""
    main, thorough = (read_json(RESULTS / f"{name}.json") for name in (MAIN, f"{MAIN}-thorough"))
    return {"demo": demo_table(main), "thorough": thorough_line(main, thorough)}


def picture(folder: Path) -> Path:
    """Draw the README's picture into a folder."""
    png, svg = save_plot(faiss_alone(read_json(RESULTS / f"{MAIN}.json")), folder / MAIN)
    svg.unlink()
    return png


def main() -> None:
    """Draw all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write into README.md and docs/")
    options = parser.parse_args()
    print("\n\n".join(parts().values()))
    if options.write:
        write(README, parts())
        picture(DOCS / "images")
        write_page(results(), PAGE)


def _best(reports: Iterable[Report]) -> list[Report]:
    return sorted(reports, key=lambda each: -each.recall_at_k)[:1]


def _line(report: Report) -> list[str]:
    name, recall = report.name, f"{report.recall_at_k:.3f}"
    if report.family == AUTO:
        name, recall = f"**{name}**", f"**{recall}**"
    return [name, f"{report.bytes_per_vector:.0f}", recall, f"{report.accuracy:.3f}"]


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


if __name__ == "__main__":
    main()
