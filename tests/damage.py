"""Bytes that are not what was written, without end: what a fuzzer hands to a reader."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterator


def mutants(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies: cut, flipped, overwritten, repeated, or with bytes put in or taken out."""
    rng = random.Random(seed)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(copy) + 1)
            size = rng.choice((1, 2, 4, 8, 64))
            kind = rng.randrange(6)
            if kind == 0:
                del copy[at:]
            elif kind == 1 and at < len(copy):
                copy[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                copy[at : at + size] = rng.randbytes(min(size, len(copy) - at))
            elif kind == 3:
                copy[at:at] = rng.choice((rng.randbytes(size), bytes(size), bytes(copy[:size])))
            elif kind == 4:
                del copy[at : at + size]
            else:
                copy[at : at + size] = rng.choice((b"\xff", b"\0", b"\x7f")) * min(size, len(copy) - at)
        yield bytes(copy)


def forgeries(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` container files whose header says other things, under checksums that are right."""
    rng = random.Random(seed)
    _, version, length, _, _ = struct.unpack("<8sIIII", data[:24])
    header, body = json.loads(data[24 : 24 + length]), data[24 + length :]
    for _ in range(count):
        copy = json.loads(json.dumps(header))
        for _ in range(rng.choice((1, 1, 2))):
            forge(copy, rng)
        text = json.dumps(copy).encode()
        text += b" " * (-(24 + len(text)) % 4096)
        prefix = struct.pack("<8sIII", data[:8], version, len(text), zlib.crc32(text))
        yield prefix + struct.pack("<I", zlib.crc32(prefix)) + text + body


def forge(value: dict | list, rng: random.Random) -> None:
    """Change one thing somewhere in a JSON value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = rng.choice(keys)
    inner = value[key]
    if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
        forge(inner, rng)
        return
    choice = rng.randrange(4)
    if choice == 0:
        del value[key]
    elif choice == 1 and isinstance(value, dict):
        value[rng.choice(("x", "name", "rows", ""))] = inner
    else:
        others = (0, 1, -1, 2**31, 2**63, 1.5, float("1e308"), "", "a", "../x", None, True, [], {}, [[]], [0] * 5)
        more = (inner + 1, inner - 1) if isinstance(inner, int) and not isinstance(inner, bool) else ()
        value[key] = rng.choice((*others, *more))
