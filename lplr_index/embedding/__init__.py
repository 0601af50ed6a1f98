"""Vectors from texts and images: the step before an index.

``texts`` and ``images`` find what is to be embedded, ``sentences`` and ``vision`` hold the models, ``job`` writes what
they give, in parts that survive an interruption (``parts``), beside a list of what each row is (``listing``).
torch and the libraries of models are imported when a model is made, and not before.
"""

from lplr_index.embedding.images import open_images
from lplr_index.embedding.items import Encoder, Item, Source
from lplr_index.embedding.job import Embedded, embed
from lplr_index.embedding.sentences import SentenceEncoder
from lplr_index.embedding.texts import open_texts
from lplr_index.embedding.vision import ImageEncoder, image_encoder

__all__ = [
    "Embedded",
    "Encoder",
    "ImageEncoder",
    "Item",
    "SentenceEncoder",
    "Source",
    "embed",
    "image_encoder",
    "open_images",
    "open_texts",
]
