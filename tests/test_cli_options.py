"""What options of several commands mean, and what they are where nobody gives them."""

from __future__ import annotations

import argparse

import pytest

from lplr_index.cli import options

ADDED = (options.add_metric, options.add_key, options.add_seed, options.add_threads, options.add_k)


def parsed(*given):
    parser = argparse.ArgumentParser()
    for add in ADDED:
        add(parser)
    return vars(parser.parse_args(given))


def test_what_they_are_where_nobody_gives_them():
    assert parsed() == {"metric": "cosine", "key": None, "seed": 0, "threads": None, "k": 10}


def test_what_is_given():
    given = ("--metric", "l2", "--key", "a", "--seed", "7", "--threads", "2", "-k", "3")

    assert parsed(*given) == {"metric": "l2", "key": "a", "seed": 7, "threads": 2, "k": 3}


def test_lists_of_numbers_and_names():
    assert options.numbers("0.5,1, 2") == [0.5, 1.0, 2.0]
    assert options.names("auto, lplr") == ["auto", "lplr"]
    with pytest.raises(ValueError, match="could not convert"):
        options.numbers("1,x")
