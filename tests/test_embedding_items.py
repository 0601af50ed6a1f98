"""embedding/items.py: checksums tell contents apart, and versions are of what is there."""

from __future__ import annotations

import numpy as np

from lplr_index.embedding.items import content_digest, package_versions


def test_digests_tell_contents_apart(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    x = np.arange(6, dtype=np.uint8)
    contents = ["a", "b", tmp_path / "absent", x, x.reshape(2, 3), x.astype(np.int8), x[::-1]]

    assert len({content_digest(each) for each in contents}) == len(contents)
    assert content_digest("a") == content_digest(tmp_path / "a")
    assert content_digest(x[::2]) == content_digest(x[::2].copy())


def test_versions_of_what_is_not_installed_are_left_out():
    assert set(package_versions("numpy", "no-such-package")) == {"numpy"}
