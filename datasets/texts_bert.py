"""IMDB reviews or tweets of six emotions through a small BERT, as the LPLR paper has them.

Texts (25,000 + 25,000 reviews, 16,000 + 2,000 tweets) and weights come over the internet, through Hugging Face:

    pip install "lplr_index[text]" datasets
    python datasets/texts_bert.py --set imdb --out imdb

As in the paper's released script, the vector is that of the [CLS] token, of at most 512, from the smallest of Google's
``google/bert_uncased_L-{2,4,6,8,10,12}_H-{128,256,512,768}_A-{2,4,8,12}``; queries are the test split.
``--model`` takes any other, ``--pooling model`` is for sentence models, which pool tokens in their own way.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Any

from fetching import RecipeError
from lplr_index.embedding import Encoder, Item, SentenceEncoder, Source
from lplr_index.embedding.sentences import POOLINGS
from recipe import Options, Recipe, add_model, run

SETS = {"imdb": "mteb/imdb", "emotion": "mteb/emotion"}
MODEL = "google/bert_uncased_L-2_H-128_A-2"
TOKENS = 512
MODELS_OWN = "model"


def load_split(name: str, split: str, cache: str) -> Any:
    """Return a split of a Hugging Face data set, rows of which are mappings.

    Raises
    ------
    RecipeError
        If the library is not installed, or the set cannot be had.
    """
    try:
        load = importlib.import_module("datasets").load_dataset
    except (ImportError, AttributeError) as err:  # without the attribute it is this folder, taken for a package
        raise RecipeError("this recipe needs the Hugging Face loader: pip install datasets") from err
    try:
        return load(name, split=split, cache_dir=cache)
    except Exception as err:  # of the network, of files, of the hub
        raise RecipeError(f"could not load {name}: {str(err).splitlines()[0]}") from err


def as_source(name: str, rows: Any) -> Source:
    """Return rows with ``text`` and ``label_text`` or ``label`` as a source."""

    def items() -> Iterator[Item]:
        for number, row in enumerate(rows):
            yield Item(str(number), row["text"], str(row.get("label_text", row["label"])))

    return Source({"kind": "recipe", "name": name}, len(rows), items, is_labelled=True, has_texts=True)


def sources(options: Options) -> dict[str, Source]:
    """Return both splits, labelled."""
    name = SETS[options.set]
    return {split: as_source(name, load_split(name, split, str(options.cache))) for split in ("train", "test")}


def encoder(options: Options) -> Encoder:
    """Return the model."""
    pooling = None if options.pooling == MODELS_OWN else options.pooling
    return SentenceEncoder(
        options.model, pooling=pooling, tokens=options.tokens, batch=options.batch, device=options.device
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the set and the model."""
    parser.add_argument("--set", choices=SETS, default="imdb", help="which of the two (imdb)")
    add_model(parser, MODEL, "a Hugging Face name or a local folder")
    parser.add_argument("--pooling", choices=[*POOLINGS, MODELS_OWN], default="cls", help="of the tokens (cls)")
    parser.add_argument("--tokens", type=int, default=TOKENS, metavar="N", help=f"tokens to read of a text ({TOKENS})")


RECIPE = Recipe("Embed IMDB or Emotion with a BERT.", sources, encoder, configure)

if __name__ == "__main__":
    run(RECIPE)
