"""Fill docs/reliability.md with what crashes.py, soak.py and store_rates.py measured.

python benchmarks/crashes.py -o benchmarks/results/crashes.json
python benchmarks/soak.py -o benchmarks/results/soak.json
python benchmarks/store_rates.py -o benchmarks/results/store_rates.json
python benchmarks/reliability.py --write
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pages import DOCS, table, write

PAGE = DOCS / "reliability.md"
RESULTS = Path(__file__).parent / "results"


def result(name: str) -> Any:
    """Read what a script measured."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def crashes() -> str:
    """Return the table of kills."""
    head = ["ids", "kills", "calls acknowledged", "kills during a call", "of which its rows were there", "rows lost"]
    keys = ("kills", "operations", "under_way", "completed")
    names = [each["ids"] + (", in lists" if each.get("lists") else "") for each in result("crashes")]
    counts = [[f"{each[key]:,}" for key in keys] for each in result("crashes")]
    rows = [[name, *mine, "0"] for name, mine in zip(names, counts, strict=True)]
    return table(head, rows)


def soak() -> str:
    """Return what the soak did."""
    found = result("soak")
    changed = ", ".join(f"{found[key]:,} rows {key}" for key in ("added", "upserted", "deleted"))
    memory = {"the writer": found["writer_megabytes"]}
    memory |= {f"reader {i + 1}": each for i, each in enumerate(found["reader_megabytes"])}
    text = (
        f"{found['seconds']:.0f} seconds: {changed}; {found['searches']:,} searches in the writer's process and "
        f"{found['searches_of_readers']:,} in others; {found['compactions']} compactions, "
        f"{found['snapshots']} snapshots, "
        f"{found['comparisons']} comparisons of everything; {found['generations']:,} manifests. "
        f"Wrong answers: {len(found['wrong'])}."
    )
    rows = [[name, *(f"{each:.1f}" for each in values)] for name, values in memory.items()]
    return f"{text}\n\n{table(['MB of memory', 'first third', 'second', 'last'], rows)}"


def rates() -> str:
    """Return what rows and searches take."""
    found = result("store_rates")
    rows = [
        ["the disk alone: append and `fdatasync`", f"{found['disk_per_s']:,.0f} a second"],
        ["SQLite, a row a transaction (WAL, `synchronous=FULL`)", f"{found['sqlite_per_s']:,.0f} a second"],
        ["turbovec, `add_with_ids` of one row and `sync`", f"{found['turbovec_per_s']:,.0f} a second"],
        ["`add` of one row", f"{found['add_per_s']:,.0f} a second"],
        [f"`add` of one row, {found['callers']} threads", f"{found['add_rows_per_s_callers']:,.0f} a second"],
        ["`add` of 100 rows", f"{found['add_rows_per_s_of_100']:,.0f} rows a second"],
        ["`delete` of one row", f"{found['delete_per_s']:,.0f} a second"],
        ["encoding one row, of that", f"{1000 / found['encode_per_s']:.1f} ms"],
    ]
    n, code = found["rows"], found["code_bytes"]
    written = found["journal_bytes_per_row"] + found["segment_bytes_per_row"]
    more = [
        ["bytes on disk", f"{found['bytes_on_disk']:,}, of which codes {n * code:,}"],
        [f"bytes written a row of {code}", f"{written:.0f}: {written / code:.1f} times its code"],
        ["opening it", f"{found['open_ms']:.1f} ms, {found['open_bytes'] / 1e6:.1f} MB of memory"],
        [f"one query, {found['segments']} segments and the journal", f"{found['search_store_ms']:.2f} ms of CPU"],
        ["one query, a reader", f"{found['search_reader_ms']:.2f} ms of CPU"],
        ["one query, one index", f"{found['search_index_ms']:.2f} ms of CPU"],
    ]
    machine = found["machine"]
    where = f"{machine['processor']}, {machine['cpus']} CPUs"
    note = f"Of posts, 384 coordinates at {code} bytes, one thread where not said; {where}."
    grown = f"{n:,} rows that came 1,000 at a time"
    return f"{note}\n\n{table(['rows that are on the disk', ''], rows)}\n\n{table([grown, ''], more)}"


def parts() -> dict[str, str]:
    """Return what goes between the page's markers."""
    return {"crashes": crashes(), "soak": soak(), "rates": rates()}


def main() -> None:
    """Print the parts, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    if parser.parse_args().write:
        write(PAGE, parts())
    else:
        print("\n\n".join(parts().values()))


if __name__ == "__main__":
    main()
