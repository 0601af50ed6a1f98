"""A model goes into sections and a header and comes back the same."""

import json

import numpy as np
import pytest

from lplr_index.auto import Recipe
from lplr_index.errors import InputError
from lplr_index.modelfiles import DTYPES, model_arrays, model_numbers, read_model
from lplr_index.training import train_auto


def trained(**choices):
    x = np.random.default_rng(0).standard_normal((600, 24)).astype(np.float32) * 0.9 ** np.arange(24)
    return train_auto(x.astype(np.float32), 12, l2=False, seed=0, recipe=Recipe(**choices)), x.astype(np.float32)


def sections(model):
    return {name: np.ascontiguousarray(a, DTYPES[name]) for name, a in model_arrays(model).items()}


@pytest.mark.parametrize("choices", [{"stages": 0}, {"stages": 2}, {"gain_bits": 0}, {"gain_bits": 8}, {"refit": True}])
def test_a_model_comes_back_the_same(choices):
    model, x = trained(**choices)

    again = read_model(json.loads(json.dumps(model_numbers(model))), sections(model))

    assert again.digest == model.digest
    assert np.array_equal(again.encode(x), model.encode(x))
    assert np.array_equal(again.decode(model.encode(x)), model.decode(model.encode(x)))


@pytest.mark.parametrize("name", ["centroids", "book", "places", "sizes"])
def test_sections_of_other_shapes_are_refused(name):
    model, _ = trained(stages=1)
    arrays = sections(model)
    arrays[name] = arrays[name][:-1] if name != "centroids" else arrays[name][:, :-1]

    with pytest.raises(InputError, match="expected"):
        read_model(model_numbers(model), arrays)


@pytest.mark.parametrize("unit", [0.0, -1.0, np.inf, np.nan])
def test_a_unit_that_is_no_scale_is_refused(unit):
    model, _ = trained(stages=0)
    arrays = sections(model)
    arrays["unit"] = np.full_like(arrays["unit"], unit)

    with pytest.raises(InputError, match="expected"):
        read_model(model_numbers(model), arrays)
