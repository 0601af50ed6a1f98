"""Turn texts or images into vectors, with a model that you name.

`embed text` reads a table (.csv .tsv .jsonl .parquet), a .txt with a text a line, or a folder of .txt and .md files;
`embed images` reads a folder of images. In -o, vectors.npy is what build and evaluate take, labels.txt what
evaluate --labels takes, items.csv says what each row is, manifest.json which model made it and what was left out.
Interrupted, run it again: what is finished is compared with its checksum and kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from lplr_index.cli.output import Terminal, output_folder
from lplr_index.embedding import (
    Embedded,
    Encoder,
    SentenceEncoder,
    Source,
    embed,
    image_encoder,
    open_images,
    open_texts,
    sentences,
    vision,
)
from lplr_index.embedding.job import DTYPES
from lplr_index.embedding.listing import Names
from lplr_index.errors import InputError

EXAMPLE = "lplr-index embed text notes.csv --column body --label-column topic -o notes"
IMAGES_EXAMPLE = "lplr-index embed images photos --model resnet50 -o photos_vectors"


def configure(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Declare ``text`` and ``images`` with their options, and return their parsers, which end the command line."""
    kinds = parser.add_subparsers(metavar="KIND", required=True, title="what to embed")
    text, images = (
        kinds.add_parser(
            name,
            help=summary.rstrip("."),
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name, summary, example in (
            ("text", "Texts of a table, of a file of lines or of a folder.", EXAMPLE),
            ("images", "Images of a folder.", IMAGES_EXAMPLE),
        )
    )
    _add_text(text)
    _add_images(images)
    for each in (text, images):
        _add_common(each)
    return [text, images]


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="TEXTS", help=".csv .tsv .jsonl .parquet .txt, or a folder of .txt and .md files"
    )
    parser.add_argument("--column", metavar="NAME", help="the column that holds the texts, unless there is only one")
    parser.add_argument(
        "--label-column", metavar="NAME", help="the column that holds classes; in a folder, subfolders do"
    )
    parser.add_argument("--id-column", metavar="NAME", help="the column a row is known by; its number without")
    parser.add_argument(
        "--model",
        default=sentences.MODEL,
        help=f"a sentence-transformers model: a Hugging Face name or a local folder ({sentences.MODEL})",
    )
    parser.add_argument(
        "--pooling", choices=sentences.POOLINGS, help="makes one vector of a plain BERT's; cls is the first"
    )
    parser.add_argument("--tokens", metavar="N", type=int, help="tokens to read of a text (as the model says)")
    batch = sentences.BATCH
    parser.add_argument("--batch", metavar="N", type=int, default=batch, help=f"texts to compute at once ({batch})")
    parser.set_defaults(source=_texts, encoder=_sentence_encoder, unit="texts")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="FOLDER", help="images in it, at any depth; subfolders are classes")
    parser.add_argument(
        "--model", default=vision.MODEL, help=f"a torchvision classifier, or efficientnet_lite0 ({vision.MODEL})"
    )
    parser.add_argument(
        "--layer", default=vision.PENULTIMATE, help=f"whose output to take, such as classifier.0 ({vision.PENULTIMATE})"
    )
    parser.add_argument(
        "--stretch", action="store_true", help="squeeze the whole image into a square; else cut one out"
    )
    batches = f"{vision.CPU_BATCH} on a CPU, {vision.DEVICE_BATCH} elsewhere"
    parser.add_argument("--batch", metavar="N", type=int, help=f"images to compute at once ({batches})")
    parser.set_defaults(source=_images, encoder=_image_encoder, unit="images")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the vectors and their lists")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=f"of the numbers in the file ({DTYPES[0]})")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (the fastest there is)")
    parser.add_argument("--renew", action="store_true", help="start over, where DIR holds vectors of another model")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Embed and say what became of it."""
    _check_apart(options.input, options.output)
    if terminal.quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    began_s = time.perf_counter()
    with output_folder(options.output) as folder, terminal.bars(options.unit) as bars:
        Names.of(folder).check_writable()
        bars("reading", 0, 0)
        source: Source = options.source(options)
        for remark in source.remarks:
            terminal.warn(remark)
        bars("loading the model", 0, 0)
        encoder: Encoder = options.encoder(options)
        done = embed(source, encoder, folder, dtype=options.dtype, renew=options.renew, progress=bars)
    _say(done, options, terminal, time.perf_counter() - began_s)


def _say(done: Embedded, options: argparse.Namespace, terminal: Terminal, seconds: float) -> None:
    if done.damaged:
        terminal.warn(f"{done.damaged} parts of an earlier run were damaged and have been made again")
    if done.left_out:
        (id_, why), count = done.left_out[0], len(done.left_out)
        terminal.warn(f"{count} {options.unit} left out, named in {done.files.manifest}; the first is {id_}: {why}")
    present = [done.files.vectors, done.files.items, *[done.files.labels] * done.is_labelled, done.files.manifest]
    facts: dict[str, Any] = {
        "file": str(done.files.vectors),
        "rows": done.n,
        "d": done.d,
        "dtype": options.dtype,
        "rows_kept": done.kept,
        "left_out": len(done.left_out),
        "files": [str(file) for file in present],
        "seconds": seconds,
    }
    text = "{file}: {rows:,} rows of {d} {dtype}, {rows_kept:,} of them kept, in {seconds:.1f} s".format(**facts)
    beside = ", ".join(file.name for file in present[1:])
    terminal.done(facts, [f"{text}; beside it {beside}"])


def _check_apart(source: str, output: str) -> None:
    """Refuse to write into what is read: the next run would find the lists of this one among the texts."""
    folder, inside = Path(source).resolve(), Path(output).resolve()
    if folder.is_dir() and inside.is_relative_to(folder):
        raise InputError(f"expected an output outside of the input, got {output} in {source}")


def _texts(options: argparse.Namespace) -> Source:
    return open_texts(
        options.input, column=options.column, label_column=options.label_column, id_column=options.id_column
    )


def _images(options: argparse.Namespace) -> Source:
    return open_images(options.input)


def _sentence_encoder(options: argparse.Namespace) -> Encoder:
    return SentenceEncoder(
        options.model, pooling=options.pooling, tokens=options.tokens, batch=options.batch, device=options.device
    )


def _image_encoder(options: argparse.Namespace) -> Encoder:
    return image_encoder(
        options.model, layer=options.layer, stretch=options.stretch, batch=options.batch, device=options.device
    )
