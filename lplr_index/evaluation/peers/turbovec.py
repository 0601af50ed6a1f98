"""turbovec: TurboQuant codes of 2 or 4 bits with a calibrated shift and scale a coordinate.

Its threads are those that RAYON_NUM_THREADS named when it was first used.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Self

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer, PeerIndex, as_ids
from lplr_index.extras import require

NBITS = (2, 4)


class TurbovecIndex(PeerIndex):
    """Codes of ``nbits`` bits a coordinate; under cosine and ip.

    Parameters
    ----------
    d : int
        Dimension, a multiple of 8.
    metric : str
        Cosine or ip.
    nbits : int
        2 or 4.

    Raises
    ------
    MissingDependencyError
        If turbovec is not installed.
    """

    def __init__(self, d: int, metric: str, nbits: int) -> None:
        super().__init__(d, metric)
        self._metric = metric
        self._nbits = nbits
        self._library = require("turbovec", "peers")
        self.native = self._library.TurboQuantIndex(dim=d, bit_width=nbits)

    def train(self, x: FloatMatrix) -> None:
        """Calibrate on all rows of ``x`` (nt, d)."""
        self.native.calibrate(x)
        self.calibration = self.native.to_bytes()
        self.is_trained = True

    def add(self, x: FloatMatrix) -> None:
        """Add rows (n, d)."""
        self.native.add(x)
        self.ntotal += len(x)

    def search(self, x: FloatMatrix, k: int) -> tuple[FloatMatrix, IdArray]:
        """Return similarities and ids, both (nq, k)."""
        D, I = self.native.search(x, k)
        return D, as_ids(I)

    def save(self, path: Path) -> None:
        """Write turbovec's own file."""
        self.native.write(str(path), durable=False)

    def emptied(self) -> Self:
        """Return one with the same calibration."""
        found = type(self)(self.d, self._metric, self._nbits)
        found.native = self._library.TurboQuantIndex.from_bytes(self.calibration)
        found.calibration, found.is_trained = self.calibration, True
        return found


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    if wanted.metric == "l2":
        yield Skip("turbovec", None, "expected metric cosine or ip, got l2")
    elif wanted.d % 8:
        yield Skip("turbovec", None, f"expected a dimension that 8 divides, got {wanted.d}")
    else:
        for nbits in NBITS:
            build = partial(TurbovecIndex, wanted.d, wanted.metric, nbits)
            yield Contender("turbovec", f"turbovec-{nbits}", "calibrated", None, build)


PEER = Peer("turbovec", "turbovec", "turbovec", '"lplr_index[peers]"', "turbovec", _offers)
