"""The files in golden: written once by golden/make.py, read for ever, and what FORMAT.md says."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from lplr_index import IndexRefineLPLR, deserialize_index, read_index, serialize_index, verify_index
from test_storage import array_of, header_end, take_apart

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = (1, 2, 3, 4, 5)
ORDER = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
EXPECTED = {
    f"v{version}/{name}": answers
    for version in VERSIONS
    for name, answers in json.loads((GOLDEN / f"v{version}" / "expected.json").read_text()).items()
}
TRAINED = [name for name in EXPECTED if "k" in EXPECTED[name]]


def version_of(data):
    return struct.unpack("<I", data[8:12])[0]


def test_there_are_golden_files():
    assert sorted(EXPECTED) == sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.glob("*/*.lplr"))
    for version in VERSIONS:
        names = [name for name in EXPECTED if name.startswith(f"v{version}/")]
        assert len(names) >= 5
        assert version in {version_of((GOLDEN / name).read_bytes()) for name in names}


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_read(name):
    index, expected = verify_index(GOLDEN / name), EXPECTED[name]
    assert repr(index) == expected["repr"]
    if not index.is_trained:
        assert "k" not in expected
        return

    D, I = index.search(np.array(expected["queries"]), expected["k"])

    assert I.tolist() == expected["I"]
    np.testing.assert_allclose(D, np.array(expected["D"]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(index.reconstruct_n(0, 3), expected["first rows"], rtol=1e-5, atol=1e-6)
    codes = index.sa_encode(np.array(expected["queries"]))
    assert codes.tolist() == expected["codes of queries"]


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_written_again(name):
    """As they are, less what an older scan wanted to know (``heavy``).

    But auto of version 1 becomes version 2, where settings count the gain inside the code, and auto under L2 version 3,
    where they count the norm too.
    """
    data = (GOLDEN / name).read_bytes()
    index = deserialize_index(data)

    again = bytes(serialize_index(index))

    (before, parts), (after, same) = take_apart(data), take_apart(again)
    for header in (before, before.get("refine", {}).get("residuals", {})):
        header.pop("heavy", None)
    version = version_of(data)
    settings = index.base_index.settings if isinstance(index, IndexRefineLPLR) else index.settings
    if settings.method == "auto":
        version = max(version, 3 if settings.metric == "l2" else 2)
        before["settings"]["code_bytes"] = settings.code_size
    assert (version_of(again), same, after) == (version, parts, before)
    assert bytes(serialize_index(deserialize_index(again))) == again


def codes_of(blocks, n, columns):
    """Return the nibbles (n, columns) of rows in blocks."""
    place = {row: (j, 0) for j, row in enumerate(ORDER)} | {row + 16: (j, 4) for j, row in enumerate(ORDER)}
    out = np.zeros((n, columns), int)
    for i in range(n):
        j, shift = place[i % 32]
        out[i] = (blocks[i // 32][16 * np.arange(columns) + j] >> shift) & 15
    return out


def scalars(sections, parts):
    """Return levels (n, columns) that fields spell in nibbles ``parts`` (n, ...)."""
    numbers = np.zeros((len(parts), len(sections["bits"])), int)
    for column, nibble, shift, mask, code_shift in sections["fields"]:
        numbers[:, column] |= (parts[:, nibble] >> shift & mask) << code_shift
    starts = np.concatenate([[0], np.cumsum(1 << sections["bits"].astype(int))[:-1]])
    return sections["levels"][starts + numbers].astype(float)


def trellis(sections, parts, words):
    """Return rows of L (n, m): centroids, scalar columns, and the chain."""
    unit = float(sections["unit"][0])
    parts = parts[:, sections["places"]]
    L = np.zeros((len(parts), sections["centroids"].shape[2]))
    for stage, centroids in enumerate(sections["centroids"].astype(float)):
        L += unit * centroids[words[:, stage]]
    column = 0
    if "fields" in sections:
        column = len(sections["bits"])
        L[:, :column] += scalars(sections, parts)
    first = len(sections["places"]) - len(sections["sizes"])
    book = unit * sections["book"].astype(float)
    for step, size in enumerate(sections["sizes"].astype(int)):
        for own, before in book[:size]:
            L[:, column] += own[parts[:, first + step]]
            if step:
                L[:, column] += before[parts[:, first + step - 1]]
            column += 1
        book = book[size:]
    return L


@pytest.mark.parametrize("name", TRAINED)
def test_golden_files_are_what_the_format_says(name):
    """FORMAT.md, read by a stranger: reconstruct the rows with json and numpy."""
    data = (GOLDEN / name).read_bytes()
    header, parts = take_apart(data)
    end = header_end(data)
    assert (data[:8], end % 4096) == (b"\x89LPLR\r\n\x1a", 0)
    assert struct.unpack("<II", data[16:24]) == (zlib.crc32(data[24:end]), zlib.crc32(data[:20]))
    assert data[end:] == b"".join(part + bytes(-len(part) % 64) for part in parts.values())
    assert all(s["crc32"] == zlib.crc32(parts[s["name"]]) for s in header["sections"])
    sections = {s["name"]: array_of(header, parts, s["name"]) for s in header["sections"]}
    x_hat = reconstruct(header, sections)

    index = read_index(GOLDEN / name)
    base = index.base_index if isinstance(index, IndexRefineLPLR) else index
    np.testing.assert_allclose(base.reconstruct_n(), x_hat, atol=1e-5 * np.abs(x_hat).max())
    exact = np.square(x_hat).sum(axis=1)[in_lists(header, sections)[0]]
    if "norm" in header:
        codes, least, most = sections["blocks"][:, -32:].reshape(-1)[: len(x_hat)].astype(float), *said(header)
        usual = least + (most - least) / 207 * (codes - 16)
        lengths = np.select([codes < 16, codes < 224], [least / 16 * codes, usual], most * 1.25 ** (codes - 223))
        np.testing.assert_allclose(lengths, np.sqrt(exact), atol=0.51 * max((most - least) / 207, least / 16))
    elif header["norm_unit"]:
        norms = sections["blocks"][:, -64:].copy().view("<f2").reshape(-1)[: len(x_hat)]
        np.testing.assert_allclose((norms + 1) * header["norm_unit"], exact, rtol=2e-3, atol=1e-3)
    assert sections.get("ids", np.arange(len(x_hat))).tolist() == index.rows.ids.all().tolist()
    if isinstance(index, IndexRefineLPLR):
        stage = header["refine"]["residuals"]
        second = {each.removeprefix("refine."): a for each, a in sections.items() if each.startswith("refine.")}
        sums = x_hat + reconstruct(stage | {"ntotal": header["ntotal"]}, second)
        length = {"own": np.linalg.norm(sums, axis=1), "unit": 1.0, "first": np.linalg.norm(x_hat, axis=1)}
        refined = sums * np.reshape(length[stage["lengths"]] / np.linalg.norm(sums, axis=1), (-1, 1))
        np.testing.assert_allclose(index.reconstruct_n(), refined, atol=1e-5 * np.abs(refined).max())


def said(header):
    """Return the least and the most usual length of norms of one byte."""
    assert header["norm"]["bits"] == 8
    return header["norm"]["least"], header["norm"]["most"]


def reconstruct(header, sections):
    """Return the rows (n, d) of a code."""
    nibbles, n = header["nibbles"], header["ntotal"]
    stages = len(sections.get("centroids", ()))
    head, blocks = header.get("head", nibbles), sections["blocks"]
    runs, parts = blocks[:, 16 * head :], codes_of(blocks, n, head)
    if "head" in header:
        parts = np.concatenate([parts, codes_of(sections["tails"], n, nibbles - head)], axis=1)
    singles = runs[:, : runs.shape[1] // 32 * 32].reshape(len(blocks), -1, 32).transpose(0, 2, 1)
    singles = singles.reshape(32 * len(blocks), runs.shape[1] // 32)[:n]
    L = trellis(sections, parts, singles[:, :stages]) if "book" in sections else scalars(sections, parts)
    if "R_index" in sections:
        L = L @ sections["R_values"][sections["R_index"]].astype(float)
    elif "R_half" in sections or "R" in sections:
        L = L @ sections["R_half" if "R_half" in sections else "R"].astype(float)
    gains = np.ones(n)
    if "gain" in header and header["gain"]["bits"] == 4:
        c = parts[:, head - 1]
        gains = np.where(c > 0, header["gain"]["least"] + header["gain_step"] * c, 0)
    elif header["gain_step"]:
        gains = singles[:, stages] * header["gain_step"]
    order, centroids = in_lists(header, sections)
    x_hat = np.empty((n, sections["mu"].shape[0]))
    x_hat[order] = gains[:, None] * (centroids + sections["mu"] + L)
    return x_hat


def in_lists(header, sections):
    """Return the numbers of the rows in the order of the blocks, and the centroids (n, d) of their lists."""
    if "list_numbers" not in sections:
        return np.arange(header["ntotal"]), 0.0
    numbers = (sections["list_numbers"].astype(int) << 8 * np.arange(sections["list_numbers"].shape[1])).sum(axis=1)
    order = np.argsort(numbers, kind="stable")
    return order, sections["list_centroids"][numbers[order]].astype(float)
