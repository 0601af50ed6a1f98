"""benchmarks/figures.py and benchmarks/sets.py: README and docs show what benchmarks/results says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
for module in ("matplotlib", "rich", "jinja2", "vl_convert"):
    pytest.importorskip(module)


pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def figures(scripts):
    return importlib.import_module("figures")


def test_the_readme_shows_the_results(figures):
    pages = importlib.import_module("pages")
    text = figures.README.read_text("utf-8")

    assert pages.fill(text, figures.parts(), "README.md") == text, "run `make figures`"


def test_the_picture_shows_the_results(figures, tmp_path):
    """But for what another matplotlib makes of fonts."""
    from matplotlib.testing.compare import compare_images

    drawn = figures.picture(tmp_path)

    assert compare_images(str(ROOT / "docs" / "images" / drawn.name), str(drawn), tol=5) is None, "run `make figures`"


def test_the_page_shows_the_results(figures):
    """But for the scripts, of which another release of Vega may be installed, and their checksums."""
    from lplr_index.reporting import render_page

    def shown(page):
        page = re.sub(r'<script type="module">.*?</script>', "", page, flags=re.DOTALL)
        return re.sub(r"'sha256-[^']*'", "", page)

    page = figures.PAGE.read_text("utf-8")

    assert shown(page) == shown(render_page(figures.results())), "run `make figures`"
    for name in figures.NAMES.values():
        assert f">{name}</h2>" in page


def test_sets_are_sampled_with_their_labels():
    sets, quality = importlib.import_module("sets"), importlib.import_module("quality")
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((40, 8)).astype("f2"), np.arange(40)
    each = quality.Embeddings("fashion_mnist", x, x[:5], labels, labels[:5])

    some, their_labels = sets.drawn(x, labels, 10)

    assert some.dtype == np.float32
    np.testing.assert_array_equal(some, x[their_labels])
    assert len(set(their_labels.tolist())) == 10
    assert sets.METRICS[each.name] == "l2"
