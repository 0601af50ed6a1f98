"""What is asked of the alternation: the settings of CALDERA and of LQ-LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.caldera.grids import GRIDS, GridQuantizer, grid_nbits
from lplr_index.caldera.lattice import LATTICE_NBITS, LatticeQuantizer
from lplr_index.caldera.regression import Trainer
from lplr_index.errors import InputError
from lplr_index.quantizers import CAST_NBITS, CastQuantizer, check_nbits, check_scale

Q_METHODS = ("caldera", "lq-lora")
QUANTIZERS = ("e8", *GRIDS)

# What the methods take for arguments that are None.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "caldera": {
        "nbits_Q": 2,
        "nbits": 4,
        "nbits_R": 4,
        "quantizer": "e8",
        "scale": "column",
        "turns": 10,
        "inner_turns": 5,
        "incoherence": True,
    },
    "lq-lora": {
        "nbits_Q": 4,
        "nbits": 16,
        "nbits_R": 16,
        "quantizer": "normalfloat",
        "scale": "column",
        "turns": 20,
        "inner_turns": 1,
        "incoherence": False,
    },
}


@dataclass(frozen=True)
class Plan:
    """What is made, and how long it is looked for.

    Attributes
    ----------
    rank : int
        Of L R; 0 for Q alone.
    nbits_Q, nbits, nbits_R : int
        Bits of a number of Q, L and R.
    quantizer : {"e8", "uniform", "normalfloat"}
        Of Q, and of the factors where they have 8 bits or fewer.
    scale : {"matrix", "column"}
        One scale for a factor, or one for each of its ``rank`` components.
    turns, inner_turns : int
        Alternations of Q with L R, and of L with R in each.
    incoherence : bool
        Whether rows and columns are rotated first.
    until_increase : bool
        Stop as soon as an alternation is worse than the one before.
    """

    rank: int
    nbits_Q: int
    nbits: int
    nbits_R: int
    quantizer: str
    scale: str
    turns: int
    inner_turns: int
    incoherence: bool
    until_increase: bool = False

    def factor_trainer(self, nbits: int) -> Trainer:
        """Return what makes a quantizer of ``nbits`` bits for a factor."""
        if nbits in CAST_NBITS:
            return partial(CastQuantizer.train, nbits=nbits)
        if self.quantizer == "e8":
            return partial(LatticeQuantizer.train, nbits=nbits, per=self.scale)
        return partial(GridQuantizer.train, kind=self.quantizer, nbits=nbits, per=self.scale)

    def quantizer_for(self, A: FloatMatrix) -> LatticeQuantizer | GridQuantizer:
        """Return the quantizer of Q for values as large as those of ``A`` (n, d)."""
        if self.quantizer == "e8":
            return LatticeQuantizer.train(A, self.nbits_Q)
        return GridQuantizer.train(
            A, self.quantizer, self.nbits_Q, "block" if self.quantizer == "normalfloat" else "matrix"
        )


def plan_for(method: str, options: dict[str, Any]) -> Plan:
    """Return the plan of a method, of rank 0, with what ``options`` have that is not None in place of its defaults.

    Raises
    ------
    InputError
        If an option has a value that it cannot have.
    """
    asked = {**_DEFAULTS[method], **{name: value for name, value in options.items() if value is not None}}
    quantizer, incoherence = asked["quantizer"], asked["incoherence"]
    if not isinstance(quantizer, str) or quantizer not in QUANTIZERS:
        raise InputError(f"expected quantizer to be one of {', '.join(QUANTIZERS)}, got {quantizer!r}")
    if not isinstance(incoherence, bool):
        raise InputError(f"expected incoherence to be True, False or None, got {incoherence!r}")
    coded = LATTICE_NBITS if quantizer == "e8" else grid_nbits(quantizer)
    of_factors = CAST_NBITS if method == "lq-lora" else coded + CAST_NBITS
    return Plan(
        rank=0,
        nbits_Q=check_nbits(asked["nbits_Q"], "nbits_Q", among=coded),
        nbits=check_nbits(asked["nbits"], "nbits", among=of_factors),
        nbits_R=check_nbits(asked["nbits_R"], "nbits_R", among=of_factors),
        quantizer=quantizer,
        scale=check_scale(asked["scale"], "scale"),
        turns=as_integer(asked["turns"], "turns", least=1),
        inner_turns=as_integer(asked["inner_turns"], "inner_turns", least=1),
        incoherence=incoherence,
        until_increase=method == "lq-lora",
    )
