"""How a model lies in a file: its arrays in sections, its numbers in the header. See FORMAT.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.codecs import ScalarCodec, TrellisCodec
from lplr_index.container import natural, stated
from lplr_index.errors import HeaderError
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.model import Model
from lplr_index.norms import Norm

DTYPES = {"mu": "<f4", "R": "<f4", "R_half": "<f2", "R_index": "|u1", "R_values": "<f4", "encoder": "<f4"}
"""Of the sections of a model."""

DTYPES |= {"bits": "|u1", "levels": "<f4", "fields": "<i4"}
DTYPES |= {"centroids": "<f2", "sizes": "<u2", "book": "<f2", "places": "<i4", "unit": "<f4"}


def model_arrays(model: Model) -> dict[str, npt.NDArray[Any]]:
    """The sections of a model, by name."""
    named: dict[str, npt.NDArray[Any] | None] = {"mu": model.mu}
    if model.R is not None:
        named |= _compact(model.R)
    named |= {"encoder": model.encoder, **model.codec.arrays}
    return {name: array for name, array in named.items() if array is not None}


def model_numbers(model: Model | None) -> dict[str, Any]:
    """What a header says of a model."""
    numbers: dict[str, Any] = {
        "nibbles": model.codec.nibbles if model else 0,
        "gain_step": model.gain.step if model else 0.0,
        "norm_unit": model.norm.unit if model else 0.0,
    }
    if model is not None and not model.gain.is_multiple:
        gain = model.gain
        numbers["gain"] = {"bits": gain.bits, "least": gain.least, "power": gain.power, "usual": gain.usual}
    if model is not None and model.norm.bits == 8:
        numbers["norm"] = {"bits": 8, "least": model.norm.least, "most": model.norm.most}
    if model is not None and model.head is not None:
        numbers["head"] = model.head
    return numbers


def _compact(R: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """R in the fewest bytes that keep every bit: float16 if it fits, one byte an entry if it has few values."""
    with np.errstate(over="ignore"):
        half = R.astype("<f2")
    if np.array_equal(half.astype(np.float32), R):
        return {"R_half": half}
    values, where = np.unique(R, return_inverse=True)
    if len(values) <= 256:
        return {"R_index": where.reshape(R.shape).astype(np.uint8), "R_values": values}
    return {"R": R}


def read_model(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Model:
    """The model of a header and named arrays, such as ``mu`` of shape (d,); they are copied, to outlive the file."""
    held = {
        name: np.array(a, dtype=np.dtype(a.dtype).newbyteorder("="))
        for name, a in arrays.items()
        if name not in ("blocks", "tails")
    }
    R = held.get("R")
    if "R_half" in held:
        R = held["R_half"].astype(np.float32)
    elif "R_index" in held:
        values, where = held["R_values"], held["R_index"]
        if values.ndim != 1 or where.max(initial=0) >= len(values):
            raise HeaderError(
                f"expected R_index below {len(values)}, the number of R_values, got {where.max(initial=0)}"
            )
        R = np.ascontiguousarray(values[where])
    codec = _codec(header, held)
    codec.check()
    head = natural(header["head"]) if "head" in header else None
    model = Model(held["mu"], R, held.get("encoder"), codec, _gain(header), _norm(header), head)
    model.check()
    return model


def _gain(header: dict[str, Any]) -> Gain:
    """What the codes of gains mean; version 1 knows none but multiples of a step, in a byte."""
    step = float(stated(header, "gain_step", (int, float)))
    if "gain" not in header:
        return Gain(8, step=step) if step else NO_GAIN
    said = stated(header, "gain", dict)
    least, power, usual = (float(stated(said, key, (int, float))) for key in ("least", "power", "usual"))
    return Gain(natural(said.get("bits")), least, step, power, usual)


def _norm(header: dict[str, Any]) -> Norm:
    """What the codes of norms mean; versions 1 and 2 know none but float16."""
    unit = float(stated(header, "norm_unit", (int, float)))
    if "norm" not in header:
        return Norm(16 if unit else 0, unit)
    said = stated(header, "norm", dict)
    least, most = (float(stated(said, key, (int, float))) for key in ("least", "most"))
    return Norm(natural(said.get("bits")), unit, least, most)


def _codec(header: dict[str, Any], held: dict[str, npt.NDArray[Any]]) -> ScalarCodec | TrellisCodec:
    """The code of L; not checked yet."""
    nibbles = natural(header.get("nibbles"))
    if "book" not in held:
        return ScalarCodec(held["bits"], held["levels"], held["fields"], nibbles)
    scalar = None
    if "fields" in held:
        fields = held["fields"]
        if fields.ndim != 2 or fields.shape[1] != 5 or not len(fields) or not 0 <= fields[:, 1].max() < nibbles:
            raise HeaderError(f"expected fields of columns in {nibbles} nibbles, got others")
        used = int(fields[:, 1].max()) + 1
        scalar = ScalarCodec(held["bits"], held["levels"], fields, used + used % 2)
    sizes, book, places, unit = (held[name] for name in ("sizes", "book", "places", "unit"))
    return TrellisCodec(held["centroids"], scalar, sizes, book, places, unit, nibbles)
