"""Pictures as matrices: ``codes`` compresses them, ``codecs`` compares with JPEG and WebP, ``sheet`` shows both."""

from lplr_index.pictures.codecs import FORMATS, Likeness, encode_within, likeness
from lplr_index.pictures.codes import Picture, as_pixels, compress_picture
from lplr_index.pictures.comparison import Entry, compare
from lplr_index.pictures.sheet import contact_sheet

__all__ = [
    "FORMATS",
    "Entry",
    "Likeness",
    "Picture",
    "as_pixels",
    "compare",
    "compress_picture",
    "contact_sheet",
    "encode_within",
    "likeness",
]
