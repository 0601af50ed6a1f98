"""Every error this package raises on purpose.

Each class also derives from the builtin a caller would expect, so ``except ValueError`` keeps working,
and ``except LPLRError`` catches all of ours and nothing else.
Messages are one sentence that names what was expected and what came.
"""

from __future__ import annotations


class LPLRError(Exception):
    """Base of all errors of this package."""


class InputError(LPLRError, ValueError):
    """An argument has the wrong type, shape, value or range."""


class NotTrainedError(LPLRError, RuntimeError):
    """The index needs ``train`` before this call."""


class ZeroVectorWarning(UserWarning):
    """Cosine was asked of vectors of length zero, which have no direction."""


class UnknownIdError(LPLRError, KeyError):
    """An id was asked for that the index does not hold."""

    def __str__(self) -> str:  # KeyError would print the message between quotes
        return str(self.args[0]) if self.args else ""


class UnsupportedError(LPLRError, TypeError):
    """The operation has no meaning for this index, metric or layout."""


class MissingDependencyError(LPLRError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class VectorFileError(LPLRError, ValueError):
    """An embedding file cannot be read as a matrix of vectors."""


class WriteError(LPLRError, OSError):
    """A file cannot be written; what was there before is untouched."""


class ClusterError(LPLRError, RuntimeError):
    """The machines of a cluster cannot be had, or failed more often than they are replaced."""


class LockedError(LPLRError, RuntimeError):
    """A store is written by another process, or by another object of this one; the message says who and since when."""


class FormatError(LPLRError, ValueError):
    """An index file is not what FORMAT.md promises; each subclass names one defect."""


class NotAnIndexError(FormatError):
    """The magic bytes are missing: the file is not an index of this package."""


class VersionError(FormatError):
    """The file was written by a newer format than this package reads."""


class MissingFileError(FormatError, FileNotFoundError):
    """A store's manifest names a file that is not there."""


class TruncatedError(FormatError):
    """The file ends before its header or one of its sections does."""


class ChecksumError(FormatError):
    """A header or section does not match its checksum: the bytes were changed after writing."""


class HeaderError(FormatError):
    """The header is intact but describes something that cannot be an index."""
