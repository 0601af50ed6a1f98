"""Pictures as low-rank, low-precision matrices, beside JPEG and WebP at equal bytes: the tables of docs/images.md.

    python benchmarks/images.py [--out results.json] [--sheet sheet.png]   measures, some minutes
    python benchmarks/images.py --write                                    fills the page from benchmarks/results

Pictures are those inside scikit-image that never were JPEG files, and the phantom: nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from image_tables import MEASURED, PAGE, sections
from pages import write
from threadpoolctl import threadpool_limits

from lplr_index.arrays import ByteMatrix
from lplr_index.atomic import atomic_write
from lplr_index.attempts import attempt
from lplr_index.extras import require
from lplr_index.factorfiles import write_factors
from lplr_index.factorization import METHODS, PUBLISHED
from lplr_index.pictures import Entry, compare, compress_picture, contact_sheet, likeness

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from phantom import shepp_logan

GREY, COLOURED = ("camera", "moon"), ("astronaut", "coffee", "chelsea")
BUDGETS = (0.15, 0.25, 0.5, 1.0, 2.0)
PATCHES = (0, 8, 16)
SETTINGS = ((8, 8, 1), (4, 8, 1), (4, 8, 2), (2, 8, 1))
"""Of the paper: bits of L, bits of R, and those of the naive quantizer it is compared with."""

Ways = dict[str, tuple[str, dict[str, Any]]]
BETTER: dict[str, Any] = {"nbits": 4, "scale": "column", "sketch": "orthogonal"}
WIDTHS = {"qmf": {"nbits": 5, "nbits_R": 5}}  # integers from -16 to 15, as published
WAYS: Ways = {
    **{name.upper(): (name, {}) for name in PUBLISHED},
    "LSVD 4": ("lsvd", BETTER),
    **{name.upper(): (name, WIDTHS.get(name, {})) for name in METHODS if name not in PUBLISHED},
}
"""The published methods with 8 bits in both factors, LSVD with better choices, and whatever else there is."""

CHANNEL_BUDGETS = (0.5, 1.0)
CHANNEL_SHARES = (0.5, 0.7, 0.8, 0.9)


def picture(name: str) -> ByteMatrix:
    """A picture of scikit-image, or the phantom, 1000 x 1000, as grey values from 0 to 255."""
    if name == "phantom":
        return np.rint(255 * shepp_logan(1000)).astype(np.uint8)
    pixels: ByteMatrix = getattr(require("skimage.data", "compress"), name)()
    return pixels


def photographs(name: str) -> list[dict[str, Any]]:
    """Every way at every budget and layout."""
    pixels = picture(name)
    found = []
    for patch in PATCHES:
        for each in compare(pixels, BUDGETS, WAYS, patch=patch):
            found.append({"picture": name, "patch": patch, **facts(each)})
            say(found[-1])
    return found


def paper_settings(name: str) -> list[dict[str, Any]]:
    """The published methods with the published bits; rows are the picture's own, as there."""
    pixels = picture(name)
    found = []
    for nbits, nbits_R, bits in SETTINGS:
        ways: Ways = {way.upper(): (way, {"nbits": nbits, "nbits_R": nbits_R}) for way in PUBLISHED}
        for each in compare(pixels, [bits], ways):
            about = {"picture": name, "setting": [nbits, nbits_R, bits], **facts(each)}
            if each.code is not None:
                (channel,) = each.code.channels
                about |= {"rank": channel.rank, "error": channel.relative_error(pixels)}
            found.append(about)
            say(about)
    return found


def channels(name: str) -> list[dict[str, Any]]:
    """A colour picture by LSVD 4 as matrices of different kinds."""
    pixels = picture(name)
    found = []
    for bits in CHANNEL_BUDGETS:
        for patch in (0, 8):
            ways: dict[str, Callable[[], tuple[ByteMatrix, int]]] = {
                "RGB, one below the other": lambda bits=bits, patch=patch: stacked(pixels, bits, patch),
            }
            for share in CHANNEL_SHARES:
                for halved in (True, False):
                    label = f"luma {share:g}, differences {'halved' if halved else 'in full'}"
                    ways[label] = lambda bits=bits, patch=patch, share=share, halved=halved: apart(
                        pixels, bits, patch, share, halved=halved
                    )
            for label, way in ways.items():
                about: dict[str, Any] = {"picture": name, "channels": label, "bits": bits, "patch": patch}
                tried = attempt("lsvd", bits, way)
                if tried.code is not None:
                    made, nbytes = tried.code
                    about |= {"bytes": nbytes, "psnr": likeness(pixels, made).psnr}
                found.append(about)
    return found


def stacked(pixels: ByteMatrix, bits: float, patch: int) -> tuple[ByteMatrix, int]:
    """Red, green and blue, one below the other, as one grey picture."""
    height, width = pixels.shape[:2]
    tall = pixels.transpose(2, 0, 1).reshape(3 * height, width)
    code = compress_picture(tall, bits / 3, "lsvd", patch=patch, **BETTER)
    return code.reconstruct().reshape(3, height, width).transpose(1, 2, 0), code.nbytes


def apart(pixels: ByteMatrix, bits: float, patch: int, share: float, *, halved: bool) -> tuple[ByteMatrix, int]:
    """Luma and the colour differences, each as a grey picture with its share of the bits."""
    images = require("PIL.Image", "compress")
    planes = images.fromarray(pixels).convert("YCbCr").split()
    size, made, nbytes = planes[0].size, [], 0
    for plane, part in zip(planes, (share, (1 - share) / 2, (1 - share) / 2), strict=True):
        smaller = plane
        if halved and made:
            smaller = plane.resize([-(-side // 2) for side in size], images.Resampling.BOX)
        a = np.asarray(smaller)
        code = compress_picture(a, bits * part * size[0] * size[1] / a.size, "lsvd", patch=patch, **BETTER)
        made.append(images.fromarray(code.reconstruct()).resize(size, images.Resampling.BILINEAR))
        nbytes += code.nbytes
    return np.asarray(images.merge("YCbCr", made).convert("RGB")), nbytes


def facts(each: Entry) -> dict[str, Any]:
    """What there is to keep of an entry."""
    about: dict[str, Any] = {"method": each.method, "bits": each.bits_per_pixel, "bytes": each.nbytes}
    if each.pixels is None:
        return about | {"reason": each.reason}
    about |= {"psnr": each.psnr, "ssim": each.ssim}
    if each.code is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_factors(each.code, Path(folder, "factors.npz"))
            about["file_bytes"] = Path(folder, "factors.npz").stat().st_size
    return about


def say(about: dict[str, Any]) -> None:
    """Print a line as soon as it is known."""
    start = f"{about['picture']:10} patch {about.get('patch', 0):2} {about['bits']:5g} bits {about['method']:8}"
    if "reason" in about:
        print(f"{start} left out: {about['reason']}", flush=True)
    else:
        quality = "exact" if about["psnr"] is None else f"{about['psnr']:.2f} dB"
        print(f"{start} {about['bytes']:8,} bytes {quality:>9} {about['ssim']:.3f}", flush=True)


def draw(path: Path, name: str, bits: float, patch: int, side: int) -> None:
    """The contact sheet of the page: ways with the picture's own rows, the better one with patches too, and peers."""
    pixels = picture(name)
    whole = compare(pixels, [bits], WAYS)
    patches = compare(pixels, [bits], {"LSVD 4": WAYS["LSVD 4"]}, patch=patch)
    ours = [each for each in whole if each.code is not None]
    peers = max(([e for e in found if e.code is None] for found in (whole, patches)), key=lambda made: made[0].nbytes)
    more = [replace(each, method=f"{each.method}, {patch} x {patch}") for each in patches if each.code is not None]
    shown = [*ours, *more, *peers]
    columns = min((4, 5), key=lambda each: -(1 + len(shown)) % each)  # the fewest places left empty
    contact_sheet(pixels, shown, path, title=name, side=side, columns=columns)


def main() -> None:
    """Parse the command line, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, help="the file to save to")
    parser.add_argument("--sheet", type=Path, help="the contact sheet to draw")
    parser.add_argument("--write", action="store_true", help=f"only fill docs/{PAGE.name} from {MEASURED.name}")
    options = parser.parse_args()
    if options.write:
        write(PAGE, sections(json.loads(MEASURED.read_text("utf-8"))))
        return
    with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
        found = {
            "photographs": [entry for name in GREY + COLOURED for entry in photographs(name)],
            "settings": [entry for name in ("phantom", *GREY) for entry in paper_settings(name)],
            "channels": [entry for name in COLOURED for entry in channels(name)],
        }
        if options.sheet:
            draw(options.sheet, "camera", 0.5, 16, 200)
    if options.out:
        with atomic_write(options.out) as stream:
            stream.write((json.dumps(found, indent=0) + "\n").encode())


if __name__ == "__main__":
    main()
