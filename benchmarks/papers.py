"""Every system of the papers in one table: what is claimed, what was measured here, on what, and by which command.

    python benchmarks/papers.py [--write]

Reads what the other scripts left in benchmarks/results/ and computes what takes a second. With --write the table goes
into docs/papers.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import hera
import numpy as np
from image_tables import MEASURED as PICTURES
from layer_tables import LLAMA_WINS, NETWORKS
from layer_tables import Measured as Layers
from layer_ways import CALIBRATED, wins
from pages import DOCS, table, write
from quality import Results

from lplr_index import bits_with_q, factorize
from lplr_index.caldera.grids import GridQuantizer
from lplr_index.caldera.lattice import LatticeQuantizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from phantom import shepp_logan

PAGE = DOCS / "papers.md"
SAVED = Path(__file__).parent / "results"
HEAD = ["system", "in `factorize`", "claim", "seen", "measured here", "on", "command"]
LLAMA_2_7B = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)]  # the matrices of a layer
PHANTOM = {"LPLR": 0.2397, "DSVD": 0.4969, "NQ": 0.5323}
AGREE = 0.01  # of relative errors, with what a random sketch changes

Entries = list[dict[str, Any]]


class Row(NamedTuple):
    """A claim and what became of it."""

    system: str
    names: str
    claim: str
    seen: str
    measured: str
    on: str
    command: str


def rows() -> Iterator[Row]:
    """Yield the table, in the order of the papers."""
    for each in (_votes, _phantom, _pictures, _layers, _caldera_bits, _lattice, _calibration, _lq_lora):
        yield each()
    yield from (_hera(), _lramm(), _qmf_pictures(), _qmf_integers(), _rvq())


def _votes() -> Row:
    found = _read("paper.json")
    lines, kept = [], []
    for name in dict.fromkeys(each["set"] for each in found):
        at = {
            method: [e["accuracy"] for e in found if _is(e, set=name, part="methods", method=method, bits=bits)]
            for method, bits in (("unquantized", 32), ("lplr", 1), ("nq", 1))
        }
        accuracies = {method: 100 * float(np.mean(each)) for method, each in at.items()}
        lines.append(f"{name} {accuracies['lplr']:.1f} for {accuracies['unquantized']:.1f}, NQ {accuracies['nq']:.1f}")
        kept.append(accuracies["lplr"] > accuracies["nq"])
    return Row(
        "LPLR, k-NN classification ([2310.11028](https://arxiv.org/abs/2310.11028))",
        "`lplr`",
        "IMDB with B = B' = 8 at 1 bit: accuracy 73 for 75 uncompressed; NQ falls to 50",
        f"ahead of NQ on {sum(kept)} of {len(kept)} sets",
        "; ".join(lines),
        "the sets of [paper.md](paper.md)",
        "`benchmarks/paper.py`",
    )


def _phantom() -> Row:
    found = [each for each in _pictures_of("settings") if _is(each, picture="phantom", setting=[4, 8, 1])]
    errors = {each["method"]: each["error"] for each in found if each["method"] in {"LPLR", "DSVD"}}
    phantom = shepp_logan(1000)
    errors["NQ"] = factorize(phantom, "nq", bits=1).relative_error(phantom)
    agree = [name for name, error in errors.items() if abs(error - PHANTOM[name]) <= AGREE]
    return Row(
        "LPLR, Shepp-Logan phantom",
        "`lplr`, `lsvd`, `dsvd`, `nq`",
        "relative errors " + ", ".join(f"{name} {error}" for name, error in PHANTOM.items()) + ", settings unsaid",
        f"{' and '.join(agree) or 'none'} of the three",
        ", ".join(f"{name} {error:.4f}" for name, error in errors.items()) + " with B, B', B_nq = 4, 8, 1",
        "1000 x 1000; other settings, by `benchmarks/phantom.py`, in [factorization.md](factorization.md)",
        "`benchmarks/images.py`",
    )


def _pictures() -> Row:
    found = _pictures_of("settings")
    pairs = [
        (one["error"], other["error"])
        for one in found
        for other in found
        if one["method"] == "LPLR" and _is(other, method="NQ", picture=one["picture"], setting=one["setting"])
    ]
    won = sum(mine < theirs for mine, theirs in pairs)
    return Row(
        "LPLR, pictures",
        "`lplr`",
        "closer than naive quantization at equal bits",
        _share(won, len(pairs)),
        f"lower error than NQ in {won} of {len(pairs)} settings; JPEG is far ahead of both",
        "phantom, camera, moon",
        "`benchmarks/images.py`",
    )


def _layers() -> Row:
    layers = Layers.read()
    lines, all_won, all_of = [], 0, 0
    for network in layers.about:
        won, both = layers.wins(network, "LPLR 4/4", 4)
        svd, _ = layers.wins(network, "LSVD 4/4", 4)
        lines.append(f"{NETWORKS[network]} {won} and {svd} of {both}")
        all_won, all_of = all_won + won + svd, all_of + 2 * both
    return Row(
        "LPLR, LSVD, model layers",
        "`lplr`, `lsvd`",
        f"LLaMA-7B, B, B', B_nq = 4, 4, 4: lower error than NQ in {LLAMA_WINS[4, 4, 4]} layers",
        _share(all_won, all_of),
        "; ".join(lines),
        "every weight matrix of two networks; LLaMA is not here",
        "`benchmarks/layers.py`",
    )


def _caldera_bits() -> Row:
    entries = sum(n * d for n, d in LLAMA_2_7B)
    bits = [sum(n * d * bits_with_q(n, d, rank) for n, d in LLAMA_2_7B) / entries for rank in (64, 128, 256)]
    found = {each["method"]: each["error"] for each in _read("caldera.json") if _is(each, matrix="newsgroups")}
    spent = next(e for e in _read("caldera.json") if _is(e, matrix="newsgroups", method="caldera, E8", budget=2.5))
    return Row(
        "CALDERA ([2405.18886](https://arxiv.org/abs/2405.18886))",
        "`caldera`",
        "LLaMA-2-7B takes 2.10, 2.20 and 2.40 bits at ranks 64, 128 and 256, and its perplexity falls with the rank",
        "bits yes; perplexities not measured, as no such model is here",
        f"formula {', '.join(f'{each:.2f}' for each in bits)}; Q alone leaves {found['Q alone, E8']:.3f} of the "
        f"newsgroups at 2 bits, Q + L R {spent['error']:.3f} at 2.5",
        "LLaMA's shapes; 3,334 x 384 embeddings",
        "`benchmarks/caldera.py`",
    )


def _lattice() -> Row:
    x = np.random.default_rng(0).standard_normal((4096, 64)).astype(np.float32)
    squares = {}
    for name, quantizer in (
        ("E8", LatticeQuantizer.train(x, 2)),
        ("uniform", GridQuantizer.train(x, "uniform", 2, "matrix")),
    ):
        squares[name] = float(np.square(quantizer.decode(quantizer.encode(x)) - x).mean())
    return Row(
        "CALDERA, lattice E8P",
        '`caldera`, `quantizer="e8"`',
        "normally better than uniform levels",
        "yes" if squares["E8"] < squares["uniform"] else "no",
        f"squared error of 2 bits {squares['E8']:.3f}, uniform {squares['uniform']:.3f}; ideal .0625",
        "normal numbers",
        "`benchmarks/papers.py`",
    )


def _calibration() -> Row:
    layers = Layers.read()
    lines, all_won, all_of = [], 0, 0
    for network in layers.about:
        plain, seen = (layers.of_layers(network, way, 2, "activations") for way in ("CALDERA", "CALDERA" + CALIBRATED))
        if len(plain) == len(seen) > 0:
            won, both = wins(seen, plain)
            times = median(b / a for a, b in zip(plain, seen, strict=True))
            lines.append(f"{NETWORKS[network]} {times:.2f} times, lower in {won} of {both} layers")
            all_won, all_of = all_won + won, all_of + both
    return Row(
        "CALDERA, calibration",
        "`caldera`, `calibration=`",
        "the error that counts is that of products with inputs, and H makes it smaller",
        _share(all_won, all_of),
        "error on held-out inputs at 2 bits: " + "; ".join(lines),
        "layers of two networks; queries, by `benchmarks/caldera.py`, in [factorization.md](factorization.md)",
        "`benchmarks/layers.py`",
    )


def _lq_lora() -> Row:
    found = {
        each["method"]: each["error"]
        for each in _read("caldera.json")
        if _is(each, matrix="newsgroups") and each["method"] in {"lq-lora", "caldera, E8"} and 2.4 < each["bits"] < 2.6
    }
    return Row(
        "LQ-LoRA ([2311.12023](https://arxiv.org/abs/2311.12023))",
        "`lq-lora`",
        "70B at 2.75 bits keeps perplexity 4.32 on Wikitext-2, with fine-tuning",
        "not measured: no such model is here",
        f"the decomposition leaves {found['lq-lora']:.3f} at 2.5 bits, CALDERA {found['caldera, E8']:.3f}",
        "3,334 x 384 embeddings; layers in [layers.md](layers.md)",
        "`benchmarks/caldera.py`",
    )


def _hera() -> Row:
    results = Results(hera.RESULTS, hera.KEYS)
    verdict = hera.verdict(results).replace("\n", " ")
    return Row(
        "HERA, HETA, QET ([2407.03637](https://arxiv.org/abs/2407.03637))",
        "`hera`, `qet`",
        "12.3 % of the original squared error at the same ratio; 5 to 13 % of the best baseline's on LLMs",
        "no" if "is seen in 0" in verdict else "in part",
        verdict,
        "embeddings, L, weights, keys and values of MiniLM",
        "`benchmarks/hera.py`",
    )


def _lramm() -> Row:
    found = _read("lramm.json")
    saved = [1 - each["search with int8"] / each["search"] for each in found["times"]]
    lost = [each["recall10"] - each["recall10_int8"] for each in found["found"]]
    return Row(
        "LRAMM ([2405.16917](https://arxiv.org/abs/2405.16917))",
        "`info --queries`, `evaluate --breakdown`; `lplr_index.projection`",
        "products of low-rank factors in few bits are fast, and their error can be told apart",
        "the error yes; a faster search no",
        f"an int8 projection costs {100 * min(lost):.2f} to {100 * max(lost):.2f} points of recall@10 and saves "
        f"{100 * min(saved):.1f} to {100 * max(saved):.1f} % of a search",
        "newsgroups, random rows of 1,280 columns",
        "`benchmarks/lramm.py`",
    )


def _qmf_pictures() -> Row:
    made = [each for each in _pictures_of("photographs") if "reason" not in each and each["bits"] <= 0.25]
    pairs = [
        (one["psnr"], other["psnr"])
        for one in made
        for other in made
        if one["method"] == "QMF"
        and _is(other, method="JPEG", picture=one["picture"], bits=one["bits"], patch=one["patch"])
    ]
    won = sum(mine >= theirs for mine, theirs in pairs)
    return Row(
        "QMF, pictures ([2408.12691](https://arxiv.org/abs/2408.12691))",
        "`qmf`",
        "ahead of JPEG below 0.25 bits a pixel",
        _share(won, len(pairs)),
        f"a higher PSNR than JPEG in {won} of {len(pairs)} comparisons",
        "photographs of scikit-image, not entropy coded",
        "`benchmarks/images.py`",
    )


def _qmf_integers() -> Row:
    errors = {method: error for (name, method), error in _hera_errors(2).items() if name == "embeddings"}
    return Row(
        "QMF, integer descent",
        "`qmf`",
        "updates of integers on their grid never raise the error",
        "yes: a test of `tests/test_integers.py`",
        f"squared error at 2 bits {100 * errors['QMF']:.1f} %, of rounded factors (LSVD) {100 * errors['LSVD']:.1f} %, "
        f"PQ {100 * errors['PQ']:.1f} %",
        "10,000 x 384 embeddings",
        "`benchmarks/hera.py`",
    )


def _rvq() -> Row:
    errors = {bits: _hera_errors(bits) for bits in (2, 4)}
    cells = [
        f"{kind} {100 * errors[bits][kind, 'RVQ']:.1f} % (PQ {100 * errors[bits][kind, 'PQ']:.1f} %) at {bits} bits"
        for kind in ("keys", "values")
        for bits in (2, 4)
    ]
    return Row(
        "Residual VQ of key/value caches ([2410.15704](https://arxiv.org/abs/2410.15704))",
        "a peer: faiss's `RQ` in `evaluate`",
        "2.9 bits are enough for keys and values of language models",
        "not measured to the end: no such model is here",
        "squared errors: " + "; ".join(cells),
        "keys and values of MiniLM",
        "`benchmarks/hera.py`",
    )


def _read(name: str) -> Any:
    return json.loads((SAVED / name).read_text("utf-8"))


def _pictures_of(part: str) -> Entries:
    entries: Entries = json.loads(PICTURES.read_text("utf-8"))[part]
    return [each for each in entries if "reason" not in each]


def _hera_errors(bits: int) -> dict[tuple[str, str], float]:
    return {(e["set"], e["method"]): e["error"] for e in _read("hera.json") if e["bits"] == bits}


def _is(entry: dict[str, Any], **wanted: Any) -> bool:
    return all(entry.get(key) == value for key, value in wanted.items())


def _share(won: int, of: int) -> str:
    if won == of:
        return "yes"
    return "no" if not won else f"in {won} of {of}"


def parts() -> dict[str, str]:
    """The table by its place in the page."""
    return {"systems": table(HEAD, [[*each] for each in rows()])}


def main() -> None:
    """Print the table or write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="write the table into docs/papers.md")
    if parser.parse_args().write:
        write(PAGE, parts())
    else:
        print(parts()["systems"])


if __name__ == "__main__":
    main()
