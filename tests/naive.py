"""Slow twins of the package's functions, written from the definitions in plain NumPy and float64; the oracles of tests.

Nothing here is imported by the package or imports from it.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

# --- Packed bits (lplr_index/bits.py) ---------------------------------------------------------------------------------


def pack(codes, nbits):
    """Write every row as one integer, code j at bit j * nbits, and that integer as little-endian bytes."""
    size = math.ceil(codes.shape[1] * nbits / 8)
    strings = [sum(int(code) << (j * nbits) for j, code in enumerate(row)) for row in codes]
    return np.array([list(string.to_bytes(size, "little")) for string in strings], dtype=np.uint8).reshape(
        len(codes), size
    )


# --- The factorizations of the LPLR paper (lplr_index/factorization/) -------------------------------------------------


def quantize(x, nbits, axis=None):
    """Round to the nearest of 2 ** nbits levels from the minimum to the maximum, the Q of the released code."""
    if nbits == 32:
        return x
    low, high = x.min(axis=axis), x.max(axis=axis)
    step = np.where(high > low, (high - low) / (2**nbits - 1), 1.0)
    return low + step * np.rint((x - low) / step)


def lplr(A, S, nbits, nbits_R, axis=None):
    """Algorithm 1: quantize the sketch, solve for R against the *quantized* L, quantize R."""
    L = quantize(A @ S, nbits, axis)
    return L @ quantize((np.linalg.pinv(L) @ A).T, nbits_R, axis).T


def power_iterated(A, S, power_iters):
    """Return an orthonormal basis of (A^T A)^q S by a QR after every half step."""
    basis = np.linalg.qr(S)[0]
    for _ in range(power_iters):
        basis = np.linalg.qr(A.T @ np.linalg.qr(A @ basis)[0])[0]
    return basis


def svd(A, rank):
    """Return the truncated singular value decomposition, the largest entry of every right vector positive."""
    U, values, Vt = np.linalg.svd(A, full_matrices=False)
    U, values, Vt = U[:, :rank], values[:rank], Vt[:rank]
    signs = np.sign(Vt[np.arange(rank), np.abs(Vt).argmax(axis=1)])
    return U * signs, values, Vt * signs[:, None]


def lsvd(A, rank, mixing, nbits, nbits_R, axis=None):
    """LPLR-SVD: the first factor is U Sigma, mixed by a random square matrix."""
    U, values, _ = svd(A, rank)
    L = quantize(U * values @ mixing, nbits, axis)
    return L @ quantize((np.linalg.pinv(L) @ A).T, nbits_R, axis).T


def dsvd(A, rank, nbits, nbits_R, axis=None):
    """Direct SVD: both factors rounded as they are, no second fit."""
    U, values, Vt = svd(A, rank)
    return quantize(U, nbits, axis) @ quantize((values[:, None] * Vt).T, nbits_R, axis).T


def normalize_and_shift(A, product):
    """Return alpha * product + beta closest to A."""
    columns = np.stack([product.ravel(), np.ones(product.size)], axis=1)
    return (columns @ np.linalg.lstsq(columns, A.ravel(), rcond=None)[0]).reshape(A.shape)


def relative_error(A, approximation):
    """Return the Frobenius norm of the difference over that of A."""
    return np.linalg.norm(A - approximation) / np.linalg.norm(A)


def rank_floor(A, rank):
    """Return the relative error of the best approximation of that rank (Eckart and Young)."""
    values = np.linalg.svd(A, compute_uv=False)
    return np.linalg.norm(values[rank:]) / np.linalg.norm(values)


# --- CALDERA (lplr_index/caldera) -------------------------------------------------------------------------------------


def e8_points(patterns):
    """Return the 65536 points of the codebook of 2 bits: eight magnitudes, signs with an even sum, a shift for all."""
    found = []
    for pattern in patterns:
        for bits in range(256):
            point = np.where([bits >> j & 1 for j in range(8)], -pattern, pattern)
            if point.sum() % 2 == 0:
                found += [point + 0.25, point - 0.25]
    return np.array(found)


def weighted_error(A, approximation, second_moment):
    """Return the root of tr(E H E^T) / tr(A H A^T)."""
    error = A - approximation
    return math.sqrt(np.trace(error @ second_moment @ error.T) / np.trace(A @ second_moment @ A.T))


def round_with_feedback(A, second_moment, width, rounded):
    """Round blocks of columns from the last on; each is first moved to where, later errors given, the least is left.

    The error e of a row costs e H e^T. With the blocks after k fixed, and k and all before it free, that is least where
    the free part of e is -e_fixed H_(fixed, free) H_(free, free)^-1.
    """
    out = A.copy()
    for start in reversed(range(0, A.shape[1], width)):
        free, fixed, block = slice(None, start + width), slice(start + width, None), slice(start, start + width)
        later = (out - A)[:, fixed]
        moved = -np.linalg.solve(second_moment[free, free], second_moment[free, fixed] @ later.T).T
        out[:, block] = rounded((A[:, free] + moved)[:, block], start)
    return out


def q_plus_lr(A, rank, turns, inner_turns, rounded):
    """Alternate as CALDERA does where no direction counts more: SVD of what Q leaves, factors refitted, Q rounded.

    ``rounded`` has what rounds Q, L and R^T. Returns Q, L and R of the turn with the least error, and all errors.
    """
    whole, errors, found = np.zeros_like(A), [], []
    for _ in range(turns):
        target = A - whole
        _, values, Vt = svd(target, rank)
        R, pairs = np.sqrt(values)[:, None] * Vt, []
        for _ in range(inner_turns):
            L = rounded["L"](target @ np.linalg.pinv(R))
            R = rounded["R"]((np.linalg.pinv(L) @ target).T).T
            pairs.append((np.linalg.norm(target - L @ R), L, R))
        _, L, R = min(pairs, key=lambda one: one[0])
        whole = rounded["Q"](A - L @ R)
        errors.append(relative_error(A, whole + L @ R))
        found.append((whole, L, R))
    return *found[int(np.argmin(errors))], errors


# --- Rows as codes (lplr_index/kernels/codes.py, lplr_index/kernels/linear.py) ----------------------------------------

BLOCK = 32
ORDER = [row for pair in zip(range(8), range(8, 16), strict=True) for row in pair]  # 0 8 1 9 2 10 ...


def multiply(x, matrix):
    """Multiply in float32, the products of every output added one after the other."""
    steps = x.T[:, :, None] * matrix[:, None, :]
    return np.cumsum(np.concatenate([np.zeros_like(steps[:1]), steps]), axis=0, dtype=np.float32)[-1]


def multiply_bytes(q, R):
    """Multiply rows of signed bytes in integers that hold anything."""
    return q.astype(np.int64) @ R.T.astype(np.int64)


def encode(y, edges, starts, fields, nbytes):
    """Count the edges below a value, which gives its code, and write the parts of the codes into one long integer."""
    numbers = [(edges[start:stop] < y[:, j, None]).sum(axis=1) for j, (start, stop) in enumerate(pairwise(starts))]
    strings = []
    for row in zip(*numbers, strict=True):
        parts = (
            ((int(row[j]) >> code_shift) & mask) << (4 * nib + shift)
            for j, nib, shift, mask, code_shift in _ints(fields)
        )
        strings.append(list(sum(parts).to_bytes(nbytes, "little")))
    return np.array(strings, np.uint8).reshape(len(y), nbytes)


def decode(codes, levels, starts, fields):
    """Put the numbers of the levels together, part by part, and look them up."""
    numbers = np.zeros((len(codes), len(starts) - 1), np.int64)
    for j, nib, shift, mask, code_shift in _ints(fields):
        numbers[:, j] += ((nibble(codes, nib) >> shift) & mask) << code_shift
    return levels[starts[:-1] + numbers]


def nibble(codes, which):
    """Return one nibble, or several, of every row of ``codes`` (n, bytes); the low half of a byte comes first."""
    return (codes[:, which // 2].astype(np.int64) >> (4 * (which % 2))) & 15


def weave(rows, first, nibbles, singles, blocks):
    """Return the blocks with rows written from ``first`` on, byte by byte as the picture in bounds.py has it."""
    out = blocks.copy()
    for number, row in enumerate(rows, first):
        block, r = out[number // BLOCK], number % BLOCK
        for c in range(nibbles):
            value, at = (row[c // 2] >> (4 * (c % 2))) & 15, 16 * c + ORDER.index(r % 16)
            block[at] = (block[at] & 0xF0) | value if r < 16 else (block[at] & 0x0F) | (value << 4)
        runs, pairs = np.split(block[16 * nibbles :], [BLOCK * singles])
        scalars = row[nibbles // 2 :]
        runs.reshape(singles, BLOCK)[:, r] = scalars[:singles]
        pairs.reshape(-1, BLOCK, 2)[:, r] = scalars[singles:].reshape(-1, 2)
    return out


def split(blocks, nibbles, head):
    """Return the heads and the tails of blocks whose columns all lie together, ``head`` of the ``nibbles`` in heads."""
    columns, rest = np.split(blocks, [16 * nibbles], axis=1)
    return np.concatenate([columns[:, : 16 * head], rest], axis=1), np.ascontiguousarray(columns[:, 16 * head :])


def whole(heads, tails, head):
    """Return blocks whose columns all lie together."""
    columns, rest = np.split(heads, [16 * head], axis=1)
    return np.concatenate([columns, tails, rest], axis=1)


def unweave(blocks, nibbles, singles):
    """Return all rows of all blocks, (32 * blocks, code_size)."""
    n = BLOCK * len(blocks)
    woven = blocks[:, : 16 * nibbles].reshape(-1, nibbles, 16)[:, :, np.argsort(ORDER)]  # by row, no longer by ORDER
    halves = np.concatenate([woven & 15, woven >> 4], axis=2).transpose(0, 2, 1).reshape(n, nibbles)
    runs, pairs = np.split(blocks[:, 16 * nibbles :], [BLOCK * singles], axis=1)
    runs = runs.reshape(len(blocks), singles, BLOCK).transpose(0, 2, 1).reshape(n, singles)
    pairs = (
        pairs.reshape(len(blocks), pairs.shape[1] // (2 * BLOCK), BLOCK, 2)
        .transpose(0, 2, 1, 3)
        .reshape(n, pairs.shape[1] // BLOCK)
    )
    return np.concatenate([halves[:, 0::2] | (halves[:, 1::2] << 4), runs, pairs], axis=1)


def row_norms(L, R, mu):
    """Return the lengths of mu + l R."""
    return np.linalg.norm(mu.astype(float) + L.astype(float) @ R.astype(float), axis=1)


def _ints(fields):
    return [tuple(map(int, field)) for field in fields]


# --- Queries as tables (lplr_index/kernels/tables.py) -----------------------------------------------------------------


def tables(y, parts, above, below):
    """Return what each value of each nibble adds to <y, l>, (nq, nibbles, 16): the sum over its parts."""
    out = np.zeros((len(y), len(parts.starts) - 1, 16))
    for c, (first, last) in enumerate(zip(parts.starts[:-1], parts.starts[1:], strict=True)):
        weight = y[:, parts.columns[first:last], None].astype(float)
        out[:, c] = np.where(weight >= 0, weight * above[first:last], weight * below[first:last]).sum(axis=1)
    return out


def quantize_tables(tables, per, digits=1):
    """Return one query's float32 tables (tables, entries) as steps below their largest entries, rounded down.

    ``per`` float32 says how many steps one is, or how many in each table, in a column; 255 are the most. The second
    digit counts parts of a step, 64 to one. Each operation rounds to float32, as in the kernel.
    """
    steps = np.minimum((tables.max(axis=1, keepdims=True) - tables) * np.float32(per), np.float32(255))
    return np.floor(steps if digits == 1 else (steps - np.floor(steps)) * np.float32(64)).astype(int)


def round_tables(tables, per):
    """Return the same steps, some of them rounded up, and how much too high they may all be, (tables,).

    All entries that lose at least as much as some entry does are rounded up: of all entries the one by which least is
    lost, or none where that loses least.
    """
    steps = np.minimum((tables.max(axis=1, keepdims=True) - tables) * np.float32(per), np.float32(255))
    lost = steps - np.floor(steps)
    digits, raised = np.floor(steps).astype(int), np.zeros(len(tables))
    for table, losses in enumerate(lost):
        rest = [(losses - first + (losses < first)).sum(dtype=float) for first in losses]
        first = min(losses[np.array(rest) == min(rest)])
        if min(rest) < losses.sum(dtype=float):
            digits[table] += losses >= first
            raised[table] = 1 - float(first)
    return digits, raised


def fine_sums(table, seconds, values, shifts):
    """Return ``column_sums`` and the whole steps that the second digits add up to; parts of a step go on where steps
    become finer.
    """
    total, parts, columns = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64), values.shape[1]
    for first in range(0, columns, 8):
        part = slice(first, min(first + 8, columns))
        mine = np.zeros(1, int)
        total = np.minimum(total + column_sums(table[part], values[:, part], mine), 65535)
        parts += column_sums(seconds[part], values[:, part], mine)
        total, parts = np.minimum(total + parts // 64, 65535), parts % 64
        after = shifts[first // 8 + 1] if first + 8 < columns else 0
        total = np.minimum(total << int(shifts[first // 8]) - int(after), 65535)
        parts <<= int(shifts[first // 8]) - int(after)
    return np.minimum(total + parts // 64, 65535)


def column_sums(table, values, shifts):
    """Return the sums (n,) of deficits that ``values`` (n, columns) select of ``table`` (columns, 16), as scans do.

    Every other column of eight is added in a byte (of four, then of two, where no eight are left), bytes in 16 bits,
    and sums stop at the largest number; where steps become finer, what was summed so far is doubled.
    """
    total, first, columns = np.zeros(len(values), np.int64), 0, values.shape[1]
    found = table[np.arange(columns), values]
    before = shifts[0] if len(shifts) else 0
    while first < columns:
        count = next(size for size in (8, 4, 2) if first + size <= columns)
        shift = shifts[first // 8]
        total = np.minimum(total << (int(before) - int(shift)), 65535)
        for parity in (0, 1):
            total += np.minimum(found[:, first + parity : first + count : 2].sum(axis=1, dtype=np.int64), 255)
        total, before, first = np.minimum(total, 65535), shift, first + count
    return np.minimum(total << int(before), 65535)


# --- The scan (lplr_index/kernels/bounds.py, lplr_index/kernels/scan.py) ----------------------------------------------


def block_bounds(block, layout, values, queries, q, shifts, columns=None, digits=1):
    """Return the deficits (32,) of one block, by stages and first columns, and the float32 bounds (32,) they give."""
    codes = unweave(block[None], layout.nibbles, layout.stages + (layout.gain_bits == 8) + (layout.norm_bits == 8))
    columns, stages = layout.nibbles if columns is None else columns, np.arange(layout.stages)
    table = queries.deficits[q].reshape(-1, 16).astype(np.int64)
    selected = nibble(codes, np.arange(columns))
    sums = column_sums(table[:columns], selected, shifts)
    if digits == 2:
        sums = fine_sums(table[:columns], queries.seconds[q].reshape(-1, 16).astype(np.int64), selected, shifts)
    sums = np.minimum(sums + queries.promises[q], 65535)
    staged = queries.stage_deficits[q, stages, codes[:, layout.nibbles // 2 + stages]].sum(axis=1, dtype=np.int64)
    sums += staged << queries.stage_doublings[q]
    sums = np.minimum(sums, 65535)
    a, c, _ = queries.affine[q]
    # Each operation rounds to float32, as in the kernel.
    bound = (sums.astype(np.float32) * a + c) * gains(codes, layout, np.float32)
    norms = _norms(codes, layout, values)
    return sums, bound - norms if norms is not None else bound


def spelled(codes, places):
    """Return the numbers (n, splits) that nibbles of split columns spell, as ``Levels`` of kernels/layout.py says."""
    first, second, third = (nibble(codes, places[:, which]).astype(np.int64) for which in range(3))
    return first | second << 4 | ((third >> places[:, 3]) & places[:, 4]) << 8


def exact_key(codes, layout, levels, queries, q):
    """Return the float32 keys of rows ``codes`` (n, code_size): partial scores of every fourth column that has any, in
    float64, one by one, then these four, then the stages, then every other one of the split columns and the others.
    """
    columns, stages = levels.alone // 16, np.arange(layout.stages)
    parts = queries.exact[q].reshape(-1, 16)[columns, nibble(codes, columns)].astype(float)
    every = [np.cumsum(np.hstack([np.zeros((len(codes), 1)), parts[:, c::4]]), axis=1)[:, -1] for c in range(4)]
    score = (every[0] + every[1]) + (every[2] + every[3])
    for s in stages:
        score += queries.stages[q, s, codes[:, layout.nibbles // 2 + s]].astype(float)
    numbers, splits = spelled(codes, levels.places), np.arange(queries.split.shape[1])
    products = queries.split[q].astype(np.float64) * levels.split[splits, numbers]
    nothing = np.zeros((len(codes), 1))
    score += sum(np.cumsum(np.hstack([nothing, products[:, s::2]]), axis=1)[:, -1] for s in (0, 1))
    score += queries.base[q]
    score *= gains(codes, layout, np.float64)
    norms = _norms(codes, layout, levels.norms)
    if norms is None:
        return score.astype(np.float32)
    return -np.maximum(0.0, queries.norm[q] + norms.astype(float) - 2 * score).astype(np.float32)


def gains(codes, layout, dtype):
    """Return the gains of rows, ones where they have none; every operation rounds to ``dtype``."""
    if layout.gain_bits == 0:
        return np.ones(len(codes), dtype)
    byte = layout.head // 2 - 1 if layout.gain_bits == 4 else layout.nibbles // 2 + layout.stages
    numbers = codes[:, byte] >> (4 if layout.gain_bits == 4 else 0)
    return np.where(numbers == 0, dtype(0), dtype(layout.gain_least) + dtype(layout.gain_step) * numbers.astype(dtype))


def _norms(codes, layout, values):
    """Return the squared norms of rows by what their codes stand for, float32, None where they have none."""
    if not layout.norm_bits:
        return None
    width = layout.norm_bits // 8
    return values[codes[:, -width:].copy().view(f"<u{width}")[:, 0]]


def best(keys, ids, k):
    """Return the k best (key, id) as lists: larger keys first, of equal keys the lower id first."""
    order = np.lexsort([ids, -keys])[:k]
    return keys[order], ids[order]


def scan(codes, layout, levels, queries, ids, allowed, k):
    """Rank the allowed rows of ``codes`` (n, code_size) by their keys: keys and ids (nq, k), -inf and -1 where none."""
    keys = np.full((len(queries.base), k), -np.inf, np.float32)
    found = np.full(keys.shape, -1, np.int64)
    for q in range(len(keys)):
        some, which = best(exact_key(codes[allowed], layout, levels, queries, q), ids[allowed], k)
        keys[q, : len(some)], found[q, : len(some)] = some, which
    return keys, found


# --- An index as a matrix (lplr_index/index.py) -----------------------------------------------------------------------


def rows_of(index):
    """Return the bytes of all rows of an index, (ntotal, code_size), in the order they are held."""
    if hasattr(index, "nlist"):
        rows = np.zeros((index.ntotal, index.code_size), np.uint8)
        for run in index.rows.runs:
            blocks = run.blocks.heads
            rows[run.rows] = unweave(blocks, index.model.codec.nibbles, index.model.form.singles)[: len(run.rows)]
        return rows
    blocks = whole_blocks(index.rows.store)
    return unweave(blocks, index.model.codec.nibbles, index.model.form.singles)[: index.ntotal]


def whole_blocks(store):
    """Return the blocks of a store with their columns together, (blocks, 32 * code_size)."""
    parts = [whole(*each, store.form.head) for each in store.whole()]
    return np.concatenate([np.empty((0, BLOCK * store.code_size), np.uint8), *parts])


def reconstruct(index):
    """Return the rows an index stands for, g (mu + l R) in float64, and under L2 their stored squared norms."""
    codes, model = rows_of(index), index.model
    codec, gain = model.codec, model.gain
    half = codec.nibbles // 2
    if hasattr(codec, "fields"):
        L = decode(codes[:, :half], codec.levels, codec.starts, codec.fields).astype(float)
    else:
        L = codec.decode(codes[:, : half + codec.stages]).astype(float)
    x_hat = model.mu + (L if model.R is None else L @ model.R.astype(float))
    if hasattr(index, "nlist"):
        x_hat += model.coarse.centroids[lists_of(index)]
    if gain.bits:
        head = (model.head or codec.nibbles) // 2
        numbers = codes[:, head - 1] >> 4 if gain.bits == 4 else codes[:, half + codec.stages]
        x_hat *= np.where(numbers == 0, 0, gain.least + gain.step * numbers)[:, None]
    norm = model.norm
    if norm.bits == 16:
        return x_hat, codes[:, -2:].copy().view("<f2")[:, 0].astype(float) * norm.unit + norm.unit
    return x_hat, byte_lengths(norm)[codes[:, -1]] ** 2 if norm.bits else None


def lists_of(index):
    """Return the list (ntotal,) of each row: the one in whose range of places it lies."""
    lists = np.full(index.ntotal, -1)
    for run in index.rows.runs:
        for number, (start, stop) in enumerate(pairwise(run.starts)):
            lists[run.rows[start:stop]] = number
    return lists


def nearest_lists(centroids, xq, metric, nprobe):
    """Return the lists (nq, nprobe) nearest to queries, or under inner product those of the largest products."""
    xq, centroids = np.asarray(xq, float), centroids.astype(float)
    if metric == "cosine":
        xq = xq / np.linalg.norm(xq, axis=1, keepdims=True)
        centroids = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    cost = np.square(xq[:, None] - centroids).sum(axis=2) if metric == "l2" else -xq @ centroids.T
    return np.argsort(cost, axis=1, kind="stable")[:, :nprobe]


def byte_lengths(norm):
    """Return the lengths (256,) that codes of one byte stand for."""
    codes = np.arange(256)
    usual = norm.least + (codes - 16) * (norm.most - norm.least) / 207
    return np.select([codes < 16, codes < 224], [codes * norm.least / 16, usual], norm.most * 1.25 ** (codes - 223))


def scores(x_hat, norms, xq, metric):
    """Return similarities or squared distances (nq, n) of queries and such rows, in float64."""
    xq = np.asarray(xq, float)
    if metric == "cosine":
        lengths = np.linalg.norm(xq, axis=1, keepdims=True)
        xq = np.divide(xq, lengths, out=np.zeros_like(xq), where=lengths > 0)
    # Equal rows get equal scores, which one matrix product does not promise.
    distinct, where = np.unique(x_hat, axis=0, return_inverse=True)
    inner = (xq @ distinct.T)[:, where.reshape(-1)]
    if norms is None:
        return inner
    return np.maximum(0.0, np.square(xq).sum(axis=1, keepdims=True) + norms - 2 * inner)


def brute_force(index, xq, k, allowed=None):
    """Return D (nq, k) in float64 and I (nq, k): all rows compared, of equal scores the lowest id first, no padding."""
    sign = -1.0 if index.metric == "l2" else 1.0
    allowed = np.ones(index.ntotal, bool) if allowed is None else allowed
    ids = index.rows.ids.all()[allowed]
    lists = [best(sign * row[allowed], ids, k) for row in scores(*reconstruct(index), xq, index.metric)]
    return sign * np.array([keys for keys, _ in lists]), np.array([found for _, found in lists])


# --- A second look (lplr_index/kernels/pairs.py, lplr_index/refine.py) ------------------------------------------------


def refine_rows(x_hat, rest, lengths):
    """Add the two and give the sums their ``own`` length, a ``unit`` one or that of x_hat, the ``first``."""
    both = x_hat + rest
    if lengths == "own":
        return both
    first, total = (_running_sums(a.astype(float) ** 2) for a in (x_hat, both))
    wanted = np.sqrt(first) if lengths == "first" else np.sign(first)
    scale = np.divide(wanted, np.sqrt(total), out=np.zeros(len(both)), where=total > 0)
    return (both * scale[:, None]).astype(np.float32)


def pair_keys(xq, x, squared):
    """Return <q, x> or minus |q - x|^2 of each row of one and the same row of the other, summed one by one."""
    xq, x = xq.astype(float), x.astype(float)
    total = _running_sums((xq - x) ** 2 if squared else xq * x).astype(np.float32)
    return -total if squared else total


def rerank(candidates, vectors, xq, k, squared):
    """Return the k best of each query's candidates as (keys, ids) by the vectors {id: x}."""
    lists = []
    for q, ids in zip(xq, candidates, strict=True):
        there = ids[ids >= 0]
        x = np.array([vectors[i] for i in there.tolist()]).reshape(len(there), len(q))
        lists.append(best(pair_keys(np.broadcast_to(q, x.shape), x, squared), there, k))
    return lists


def _running_sums(x):
    """Sum each row (n, d) from the first number to the last."""
    return np.cumsum(x, axis=1)[:, -1]
