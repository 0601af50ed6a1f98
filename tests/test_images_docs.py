"""docs/images.md says what benchmarks/images.py measured, and what was measured is what it should be."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from lplr_index.attempts import SLACK
from lplr_index.pictures.codes import LUMA_SHARE

WRITE = "run `python benchmarks/images.py --write`"


pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def tables(scripts):
    return importlib.import_module("image_tables")


@pytest.fixture(scope="module")
def measured(tables):
    return json.loads(tables.MEASURED.read_text("utf-8"))


def made(entries, **about):
    return [each for each in entries if "reason" not in each and about.items() <= each.items()]


def test_the_page_is_what_the_results_say(tables, measured):
    page = tables.PAGE.read_text("utf-8")

    assert importlib.import_module("pages").fill(page, tables.sections(measured), tables.PAGE.name) == page, WRITE


def test_the_picture_is_there_and_small(tables):
    (name,) = re.findall(r"\((images/[^)]+)\)", tables.PAGE.read_text("utf-8"))

    assert 10_000 < (tables.PAGE.parent / name).stat().st_size < 300_000


def test_nobody_has_more_bytes_than_jpeg_was_allowed(measured):
    pixels = {"camera": 512 * 512, "moon": 512 * 512, "astronaut": 512 * 512, "coffee": 400 * 600, "chelsea": 300 * 451}
    rounds = {}
    for each in made(measured["photographs"]):
        here = rounds.setdefault((each["picture"], each["bits"], each["patch"]), {})
        here[each["method"]] = each["bytes"]

    for (name, bits, _), here in rounds.items():
        peers = [here.pop(peer, 0) for peer in ("JPEG", "WebP")]
        assert max(here.values(), default=0) <= SLACK * bits * pixels[name] / 8
        assert not here or max(peers) <= max(here.values())


def test_a_figure_can_be_measured_again(measured):
    images = importlib.import_module("images")
    (entry,) = images.compare(images.picture("moon"), [0.5], {"LPLR": images.WAYS["LPLR"]}, patch=16)[:1]
    (saved,) = made(measured["photographs"], picture="moon", bits=0.5, patch=16, method="LPLR")

    assert entry.nbytes == saved["bytes"]
    assert entry.psnr == pytest.approx(saved["psnr"], abs=0.1)  # another CPU's linear algebra rounds otherwise
    assert entry.ssim == pytest.approx(saved["ssim"], abs=0.01)


def test_the_sentences_about_the_settings_hold(tables, measured):
    text = " ".join(tables.PAGE.read_text("utf-8").split())
    by_setting = {}
    for each in measured["settings"]:
        by_setting.setdefault((each["picture"], *each["setting"]), {})[each["method"]] = each

    assert "closer than naive quantization at equal bits, is seen at all settings" in text
    assert all(each["LPLR"]["error"] < each["NQ"]["error"] for each in by_setting.values())
    assert "By SSIM NQ is the better one of camera" in text
    assert all(each["LPLR"]["ssim"] < each["NQ"]["ssim"] for key, each in by_setting.items() if key[0] == "camera")
    assert "with 8 bits DSVD is better than LPLR" in text
    assert all(each["DSVD"]["error"] < each["LPLR"]["error"] for key, each in by_setting.items() if key[1] == 8)
    assert [each["LPLR"]["rank"] for key, each in by_setting.items() if key[0] == "phantom"] == [62, 83, 166, 100]


def test_the_summary_holds(tables, measured):
    text = " ".join(tables.PAGE.read_text("utf-8").split())
    ours = {name for each in measured["photographs"] if (name := each["method"]) not in {"JPEG", "WebP"}}

    assert "JPEG is far better on photographs at every size" in text
    for each in made(measured["photographs"], method="JPEG"):
        about = {name: each[name] for name in ("picture", "bits", "patch")}
        here = [e for e in made(measured["photographs"], **about) if e["method"] in ours]
        assert all(e["psnr"] < each["psnr"] for e in here)


def test_colours_are_taken_apart_in_the_best_way_measured(tables, measured):
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tables._channels(measured["channels"]).splitlines()
    ]
    label, *best = next(line for line in lines if line[0] == f"luma {LUMA_SHARE:g}, differences halved")

    assert "That is the best of these in every column" in tables.PAGE.read_text("utf-8")
    for column, figure in enumerate(best, 1):
        assert float(figure) == max(float(line[column]) for line in lines[2:] if line[column] != "-"), label


def test_the_claim_of_qmf_is_told_once_it_is_measured(tables, measured):
    """With made-up figures: above JPEG, below, and both."""
    about = {"picture": "a", "patch": 0, "bytes": 100, "ssim": 0.5}
    jpeg = [{**about, "method": "JPEG", "bits": bits, "psnr": 30.0} for bits in (0.15, 0.25, 0.5)]

    def told(*ratios):
        mine = [{**about, "method": "QMF", "bits": e["bits"], "psnr": p} for e, p in zip(jpeg, ratios, strict=True)]
        return tables._qmf(jpeg + mine)

    assert "hold no QMF" in tables._qmf(jpeg)
    assert "that is seen: of 2 comparisons" in told(31.0, 32.0, 20.0)
    assert "is not seen: of 2 comparisons at up to 0.25 bits its PSNR is at least JPEG's in 0, and 1.5 dB" in told(
        29.0, 28.0, 31.0
    )
    assert "that is seen in part: of 2" in told(31.0, 20.0, 31.0)


def test_a_loss_of_jpeg_is_named(tables):
    about = {"picture": "a", "patch": 8, "bits": 0.5, "bytes": 100}
    ours = {**about, "method": "LPLR", "psnr": 31.26, "ssim": 0.5}
    jpeg = {**about, "method": "JPEG", "psnr": 30.0, "ssim": 0.9}

    lines = tables._against(tables._rounds([ours, jpeg]), "JPEG")

    assert len(lines) == 2
    assert lines[0].startswith("* JPEG has a higher PSNR than every method here in 0 of 1 comparisons, all but")
    assert lines[0].endswith(" a at 0.5 bits, patches of 8 (LPLR 31.3; JPEG 30.0).")
    assert lines[1] == "* JPEG has a higher SSIM than every method here in 1 of 1 comparisons."
    assert tables._against(tables._rounds([ours]), "JPEG")[-1] == (
        "* JPEG has no file as small as ours of a at 0.5 bits, patches of 8."
    )
