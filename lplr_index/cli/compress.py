"""Compress a matrix or a picture by every method of factorize, and say what each costs and loses.

Of a matrix (a file of vectors) that is the relative error. A picture is compared with JPEG and WebP at equal bytes, by
PSNR and SSIM. With -o every factorization goes to DIR/METHOD-BITS.npz, which lplr_index.decode_factors decodes, all
that was measured to DIR/compression.json, and of a picture a contact sheet to DIR/contact.png.
A method that cannot do a size is named with its reason. Methods are as published unless the options say otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.arrays import ByteMatrix, FloatMatrix, as_integer
from lplr_index.atomic import atomic_write
from lplr_index.attempts import attempt, check_methods, options_of
from lplr_index.cli.options import add_key, add_seed, names, numbers
from lplr_index.cli.output import Terminal, check_output, output_folder
from lplr_index.embedding.images import FILES, load_image
from lplr_index.errors import InputError, UnsupportedError, VectorFileError
from lplr_index.extras import require
from lplr_index.factorfiles import write_factors
from lplr_index.factorization import METHODS, factorize
from lplr_index.pictures import Entry, as_pixels, compare, contact_sheet
from lplr_index.pictures.codes import as_patch
from lplr_index.pictures.sheet import decibels
from lplr_index.quantizers import SCALES, check_nbits
from lplr_index.sketches import SKETCHES
from lplr_index.vectors import open_vectors

EXAMPLE = "lplr-index compress photo.png --bits-per-pixel 0.5,1 --patch 16 -o photo"
TABLE, SHEET = "compression.json", "contact.png"
MOST_BITS = 32


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="FILE", help="a picture, or a matrix: a file, a folder, or a pattern of vectors"
    )
    add_key(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--bits", type=numbers, help="of a matrix: bits an entry, with commas")
    budget.add_argument("--bits-per-pixel", type=numbers, help="of a picture: bits a pixel, all channels, with commas")
    parser.add_argument("--methods", type=names, default=list(METHODS), help=f"with commas ({','.join(METHODS)})")
    parser.add_argument(
        "--patch", metavar="P", type=int, default=0, help="of a picture: rows are patches of P x P pixels"
    )
    parser.add_argument("--nbits", metavar="B", type=int, default=8, help="bits an entry of L (8)")
    parser.add_argument("--nbits-R", metavar="B", type=int, default=8, help="bits an entry of R (8)")
    parser.add_argument("--scale", choices=SCALES, default="matrix", help="what has a range of its own (matrix)")
    parser.add_argument("--sketch", choices=(*SKETCHES, "none"), help="of lplr and lsvd (gaussian)")
    add_seed(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the factors, the table and the contact sheet")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Compress, show and save."""
    is_picture = _check(options)
    with contextlib.ExitStack() as stack:
        folder = None if options.output is None else stack.enter_context(output_folder(options.output))
        if folder is not None:
            _check_files(folder, options, is_picture=is_picture)
        (_compress_picture if is_picture else _compress_matrix)(options, terminal, folder)


def _check(options: argparse.Namespace) -> bool:
    """Find out before the work what would go wrong after it; tell whether the source is a picture."""
    check_methods(options.methods)
    check_nbits(options.nbits, "nbits")
    check_nbits(options.nbits_R, "nbits_R")
    as_integer(options.seed, "seed")
    as_patch(options.patch)
    is_picture = Path(options.source).suffix.lower() in FILES
    wanted, other = ("--bits-per-pixel", "--bits") if is_picture else ("--bits", "--bits-per-pixel")
    budgets = options.bits_per_pixel if is_picture else options.bits
    if budgets is None:
        raise InputError(f"expected {wanted} for {options.source}, got {other}")
    if options.patch and not is_picture:
        raise InputError(f"expected --patch for a picture, got {options.source}")
    for bits in budgets:
        if not 0 < bits <= MOST_BITS:
            raise InputError(f"expected {wanted} above 0, at most {MOST_BITS}, got {bits:g}")
    options.budgets = list(dict.fromkeys(budgets))
    return is_picture


def _check_files(folder: Path, options: argparse.Namespace, *, is_picture: bool) -> None:
    """Find out before the work whether all files can be written, and none would replace what is compressed."""
    files = [folder / name for name in (TABLE, *([SHEET] if is_picture else []))]
    files += [_factors(folder, method, bits) for method in options.methods for bits in options.budgets]
    for file in files:
        check_output(str(file), options.source)


def _factors(folder: Path, method: str, bits: float) -> Path:
    return folder / f"{method}-{bits:g}.npz"


def _options_of(method: str, options: argparse.Namespace) -> dict[str, Any]:
    about = {name: getattr(options, name) for name in ("nbits", "nbits_R", "scale", "sketch")}
    return options_of(method, **about)


def _compress_matrix(options: argparse.Namespace, terminal: Terminal, folder: Path | None) -> None:
    with terminal.bars("factorizations") as bars:
        bars("reading", 0, 0)
        A = _matrix(options)
        rows: list[dict[str, Any]] = []
        files: list[str] = []
        total = len(options.methods) * len(options.budgets)
        for bits in options.budgets:
            for method in options.methods:
                bars("compressing", len(rows), total, f"{method}, {bits:g} bits")
                given = {"bits": bits, "seed": options.seed, **_options_of(method, options)}
                tried = attempt(method, bits, partial(factorize, A, method, **given))
                code = tried.code
                row: dict[str, Any] = {
                    "method": method,
                    "bits": bits,
                    "bytes": None,
                    "error": None,
                    "seconds": tried.seconds,
                    "reason": tried.reason,
                }
                if code is not None:
                    row |= {"bytes": int(code.nbytes), "error": code.relative_error(A)}
                    files += _save(code, folder, method, bits, terminal)
                rows.append(row)
    about = {"file": options.source, "kind": "matrix", "rows": A.shape[0], "d": A.shape[1], "float32_bytes": A.nbytes}
    _tell(about | {"results": rows}, _matrix_lines(about, rows), files, terminal, folder)


def _compress_picture(options: argparse.Namespace, terminal: Terminal, folder: Path | None) -> None:
    with terminal.bars("pictures") as bars:
        bars("reading", 0, 0)
        pixels = _pixels(options.source)
        entries = compare(
            pixels,
            options.budgets,
            {method: (method, _options_of(method, options)) for method in options.methods},
            patch=options.patch,
            seed=options.seed,
            progress=lambda done, total, name: bars("compressing", done, total, name),
        )
    height, width = pixels.shape[:2]
    about = {
        "file": options.source,
        "kind": "picture",
        "height": height,
        "width": width,
        "channels": 1 if pixels.ndim == 2 else 3,
        "patch": options.patch,
    }
    files: list[str] = []
    if folder is not None:
        for each in entries:
            if each.code is not None:
                files += _save(each.code, folder, each.method, each.bits_per_pixel, terminal)
        contact_sheet(pixels, entries, folder / SHEET, title=Path(options.source).name)
        files.append(str(folder / SHEET))
    rows = [
        {
            "method": each.method,
            "bits_per_pixel": each.bits_per_pixel,
            "bytes": each.nbytes or None,
            "psnr": each.psnr,
            "ssim": each.ssim,
            "exact": each.pixels is not None and each.psnr is None,
            "seconds": each.seconds,
            "reason": each.reason,
        }
        for each in entries
    ]
    _tell(about | {"results": rows}, _picture_lines(about, entries), files, terminal, folder)


def _save(code: Any, folder: Path | None, method: str, bits: float, terminal: Terminal) -> list[str]:
    """Write the factors, if there is a folder to write to; return the names of the files."""
    if folder is None:
        return []
    path = _factors(folder, method, bits)
    try:
        write_factors(code, path)
    except UnsupportedError as err:
        terminal.warn(f"no file of {method}: {err}")
        return []
    return [str(path)]


def _tell(
    document: dict[str, Any], lines: list[str], files: list[str], terminal: Terminal, folder: Path | None
) -> None:
    """Save the table, where there is a folder, and say all."""
    if folder is not None:
        with atomic_write(folder / TABLE) as stream:
            stream.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
        files.append(str(folder / TABLE))
    terminal.result({**document, "files": files}, [*lines, *(f"saved {file}" for file in files)])


def _matrix_lines(about: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    n, d = about["rows"], about["d"]
    lines = [
        f"{about['file']}: {n:,} x {d:,}, {about['float32_bytes']:,} bytes in float32",
        f"{'method':<10}{'bits':>7}{'bytes':>14}{'bits used':>11}{'error':>9}{'seconds':>9}",
    ]
    for each in rows:
        start = f"{each['method']:<10}{each['bits']:>7g}"
        if each["reason"]:
            lines.append(f"{start}  left out: {each['reason']}")
        else:
            used = 8 * each["bytes"] / (n * d)
            lines.append(f"{start}{each['bytes']:>14,}{used:>11.3f}{each['error']:>9.4f}{each['seconds']:>9.2f}")
    return [*lines, "Error: relative, in the Frobenius norm. Bytes: packed codes and ranges."]


def _picture_lines(about: dict[str, Any], entries: list[Entry]) -> list[str]:
    kind = "grey" if about["channels"] == 1 else "colours"
    rows = f"patches of {about['patch']} x {about['patch']}" if about["patch"] else "pixel rows"
    lines = [
        f"{about['file']}: {about['width']} x {about['height']} pixels, {kind}, rows are {rows}",
        f"{'method':<10}{'bits':>7}{'bytes':>12}{'bits used':>11}{'PSNR':>9}{'SSIM':>8}{'seconds':>9}",
    ]
    for each in entries:
        start = f"{each.method:<10}{each.bits_per_pixel:>7g}"
        if each.ssim is None:
            lines.append(f"{start}  left out: {each.reason}")
        else:
            used = 8 * each.nbytes / (about["height"] * about["width"])
            lines.append(
                f"{start}{each.nbytes:>12,}{used:>11.3f}{decibels(each.psnr):>9}{each.ssim:>8.3f}{each.seconds:>9.2f}"
            )
    return [
        *lines,
        "Bytes: headers counted for all.",
        "JPEG and WebP: the largest files of Pillow's encoders that take no more than the largest of the others.",
    ]


def _matrix(options: argparse.Namespace) -> FloatMatrix:
    with open_vectors(options.source, key=options.key) as source:
        return source.read(0, source.n)


def _pixels(path: str) -> ByteMatrix:
    require("PIL.Image", "compress")
    if not Path(path).exists():
        raise VectorFileError(f"no such file: {path}")
    try:
        return as_pixels(np.asarray(load_image(Path(path))))
    except InputError as err:
        raise InputError(f"cannot compress {path}: {err}") from err
