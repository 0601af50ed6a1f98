"""What HERA is compared with: the squared error of A, relative to that of zero, and the bytes it takes.

Every peer gets a budget in bits per entry of A and stays within it, everything counted but where its name says so.
Product quantizers are those of ``lplr_index.hera`` without swaps, their codewords of 10 bits, so that only what is done
before them differs; RVQ is faiss's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.bits import code_size
from lplr_index.extras import require
from lplr_index.factorization import factorize
from lplr_index.hera import entangle
from lplr_index.hera.means import k_means, nearest
from lplr_index.lloyd import lloyd_max

Score = tuple[float, float]  # squared error relative to that of zero, bits per entry
Peer = Callable[[FloatMatrix, float], Score]

CODEWORD_BITS = 10
CELLS = 4
LEAST_BITS = 0.25  # for codes, below which a product quantizer is not tried
RVQ_WIDTH = 16  # columns of a group, all of which share their codebooks
WORD_BITS = 8  # of a stage of RVQ
OPQ_ROUNDS = 3
RANGES_BYTES = 17  # of a component: two ranges, and a share of scale and shift
HALF = 16  # bits of an entry of a rotation
BEAM = 5
FEW_ENTRIES = 1 << 18  # that RVQ is trained on


def squared(A: FloatMatrix, approximation: npt.NDArray[np.floating]) -> float:
    """The squared error, relative to that of zero."""
    exact = A.astype(np.float64)
    return float(np.square(exact - approximation).sum() / np.square(exact).sum())


def by_factorize(method: str, A: FloatMatrix, bits: float, **options: object) -> Score:
    """A method of ``factorize``."""
    found = factorize(A, method, bits=bits, **options)
    return found.relative_error(A) ** 2, found.bits_per_entry


def low_rank(method: str, A: FloatMatrix, bits: float, **options: object) -> Score:
    """The better of two widths of L, with the largest rank that fits, all ranges counted."""
    n, d = A.shape
    scores = []
    for nbits in {max(2, int(bits)), max(2, int(bits)) + 1}:
        size = [n * code_size(rank, nbits) + d * rank + RANGES_BYTES * rank for rank in range(1, min(n, d) + 1)]
        rank = sum(each <= bits * A.size / 8 for each in size)
        if rank:
            found = factorize(A, method, rank=rank, nbits=nbits, nbits_R=8, **options)
            scores.append((found.relative_error(A) ** 2, found.bits_per_entry))
    return min(scores, default=(np.nan, np.nan))


def lloyd(A: FloatMatrix, bits: float) -> Score:
    """Scalar quantization, Lloyd's levels for each column: whole bits only, which leave the levels unpaid."""
    nbits = int(bits)
    out = np.empty_like(A)
    for j, column in enumerate(A.T):
        levels = lloyd_max(column, nbits)
        out[:, j] = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, column)]
    return squared(A, out), nbits + (1 << nbits) * 32 / len(A)


def rotated(A: FloatMatrix, bits: float, *, paid: bool) -> Score:
    """OPQ: a rotation in float16 before the product quantizer, fitted in turns, from balanced principal axes."""
    n, d = A.shape
    side = HALF * d / n if paid else 0.0
    if bits - side < LEAST_BITS:
        return np.nan, np.nan
    code = partial(entangle, method="hera", bits=bits - side, layers=0, codeword_bits=CODEWORD_BITS)
    turn = _balanced_axes(A - A.mean(axis=0), code(A).stages[0].plan.bounds)
    for _ in range(OPQ_ROUNDS):
        left, _, right = np.linalg.svd(A.T.astype(np.float64) @ code(A @ turn).reconstruct())
        turn = (left @ right).astype(np.float16).astype(np.float32)
    found = code(A @ turn)
    return squared(A, found.reconstruct() @ turn.T), found.bits_per_entry + side


def local(A: FloatMatrix, bits: float, *, paid: bool) -> Score:
    """LOPQ: coarse cells, in each the principal axes of what is left, shared out evenly to the groups."""
    d = A.shape[1]
    side = CELLS * d * (HALF * d + 32) / A.size if paid else 0.0
    code = np.log2(CELLS) / d
    if bits - side - code < LEAST_BITS:
        return np.nan, np.nan
    plan = entangle(A, "hera", bits=bits - side - code, layers=0, codeword_bits=CODEWORD_BITS).stages[0].plan
    cells = k_means(A, CELLS, np.random.default_rng(0))
    chosen = nearest(A, cells)
    axes, rest = [], np.empty_like(A)
    for cell in range(CELLS):
        left = A[chosen == cell] - cells[cell]
        axes.append(_balanced_axes(left, plan.bounds))
        rest[chosen == cell] = left @ axes[cell]
    found = entangle(rest, "hera", bits=bits - side - code, layers=0, groups=plan.groups, codeword_bits=CODEWORD_BITS)
    out = found.reconstruct()
    for cell in range(CELLS):
        out[chosen == cell] = out[chosen == cell] @ axes[cell].T + cells[cell]
    return squared(A, out), found.bits_per_entry + side + code


def _balanced_axes(x: FloatMatrix, bounds: npt.NDArray[np.int64]) -> FloatMatrix:
    """Principal axes (d, d), shared out to the groups, rounded to float16."""
    values, vectors = np.linalg.eigh(x.T.astype(np.float64) @ x)
    return vectors[:, _shared_out(values, bounds)].astype(np.float16).astype(np.float32)


def _shared_out(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The axis of each column such that the products of a group's eigenvalues are about equal: largest axes first."""
    room = np.diff(bounds).tolist()
    logs, groups = np.zeros(len(room)), [[] for _ in room]
    low = np.log(max(float(values.max()), 1e-30) * 1e-6)
    for axis in np.argsort(-values):
        free = [g for g in range(len(room)) if len(groups[g]) < room[g]]
        into = min(free, key=lambda g: logs[g])
        groups[into].append(axis)
        logs[into] += max(np.log(max(float(values[axis]), 1e-30)), low) - low
    return np.concatenate([np.array(group) for group in groups])


def residual(A: FloatMatrix, bits: float) -> Score:
    """RVQ: faiss's residual quantizer of groups of columns, all by the same books; what is left is a last stage's."""
    faiss = require("faiss", "faiss")
    pieces = np.ascontiguousarray(A.reshape(-1, RVQ_WIDTH))
    left, widths = bits * A.size, []
    while fitting := [w for w in range(1, WORD_BITS + 1) if _stage_bits(len(pieces), w) <= left]:
        widths.append(fitting[-1])
        left -= _stage_bits(len(pieces), fitting[-1])
    stages = faiss.UInt64Vector()
    for width in widths:
        stages.push_back(width)
    quantizer = faiss.ResidualQuantizer(RVQ_WIDTH, stages)
    quantizer.max_beam_size = BEAM
    rng = np.random.default_rng(0)
    some = rng.choice(len(pieces), min(len(pieces), FEW_ENTRIES // RVQ_WIDTH), replace=False)
    quantizer.train(pieces[np.sort(some)])
    out = quantizer.decode(quantizer.compute_codes(pieces)).reshape(A.shape)
    return squared(A, out), bits - left / A.size


def _stage_bits(count: int, width: int) -> int:
    return count * width + (1 << width) * RVQ_WIDTH * HALF


OURS: dict[str, Peer] = {
    "HERA": partial(by_factorize, "hera"),
    "HERA, 10-bit codewords": partial(by_factorize, "hera", codeword_bits=CODEWORD_BITS),
    "QET": partial(by_factorize, "qet"),
    "QET, layers 1 and 0": partial(by_factorize, "qet", layers=(1, 0)),
}
PEERS: dict[str, Peer] = {
    "SQ, Lloyd, levels free": lloyd,
    "PQ": partial(by_factorize, "hera", layers=0, codeword_bits=CODEWORD_BITS),
    "PQ, two stages": partial(by_factorize, "qet", layers=(0, 0)),
    "OPQ": partial(rotated, paid=True),
    "OPQ, rotation free": partial(rotated, paid=False),
    "LOPQ": partial(local, paid=True),
    "LOPQ, rotations free": partial(local, paid=False),
    "RVQ": residual,
}
LOW_RANK: dict[str, Peer] = {
    "LSVD": partial(low_rank, "lsvd", sketch="orthogonal", scale="column"),
    "QMF": partial(low_rank, "qmf"),
}
METHODS: dict[str, Peer] = OURS | PEERS | LOW_RANK
