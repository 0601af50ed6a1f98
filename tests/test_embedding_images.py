"""Images of a folder, and the pixels of one."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.embedding import open_images
from lplr_index.embedding.images import load_image
from lplr_index.errors import InputError, VectorFileError

images = pytest.importorskip("PIL.Image")
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def save(path, pixels=PIXELS, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.fromarray(pixels).save(path, **options)
    return path


def test_subfolders_are_labels_and_names_are_ids(tmp_path):
    for name in ("dogs/photo_10.png", "dogs/photo_2.PNG", "cats/old/1.bmp", "cats/.thumbnails/1.png"):
        save(tmp_path / name)
    (tmp_path / "cats" / "notes.txt").write_text("none")

    source = open_images(tmp_path)

    assert [(item.id, item.label) for item in source.items()] == [
        ("cats/old/1.bmp", "cats"),
        ("dogs/photo_2.PNG", "dogs"),
        ("dogs/photo_10.png", "dogs"),
    ]
    assert next(source.items()).content == tmp_path / "cats/old/1.bmp"
    assert (source.count, source.is_labelled, source.has_texts) == (3, True, False)
    assert source.facts == {"kind": "images", "name": tmp_path.name}
    assert len(source.remarks) == 1
    assert "1 files in" in source.remarks[0]


def test_images_beside_subfolders_leave_no_labels(tmp_path):
    for name in ("dogs/1.png", "2.png"):
        save(tmp_path / name)

    source = open_images(tmp_path)

    assert (source.count, source.is_labelled) == (2, False)
    assert "no labels: 1 files lie in" in source.remarks[0]


def test_a_folder_is_asked_for(tmp_path):
    with pytest.raises(VectorFileError, match=r"expected a folder of images, got .*1\.png, which is none"):
        open_images(save(tmp_path / "1.png"))
    with pytest.raises(VectorFileError, match="expected a folder of images"):
        open_images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VectorFileError, match=r"expected files in .*empty that end in one of .jpg"):
        open_images(tmp_path / "empty")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_pixels_come_back(tmp_path, suffix):
    np.testing.assert_array_equal(np.asarray(load_image(save(tmp_path / f"x{suffix}"))), PIXELS)
    np.testing.assert_array_equal(np.asarray(load_image(PIXELS)), PIXELS)


def test_every_kind_of_picture_becomes_rgb(tmp_path):
    grey = images.fromarray(PIXELS[..., 0])
    palette = images.fromarray(PIXELS).quantize(8)
    palette.info["transparency"] = 0
    alpha = images.fromarray(PIXELS).convert("RGBA")
    for number, picture in enumerate((grey, palette, alpha, grey.convert("1"))):
        picture.save(tmp_path / f"{number}.png")
        assert load_image(tmp_path / f"{number}.png").mode == "RGB"
    assert load_image(PIXELS[..., 0]).mode == "RGB"
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "0.png"))[..., 1], PIXELS[..., 0])


def test_the_camera_says_which_side_is_up(tmp_path):
    exif = images.Exif()
    exif[0x0112] = 6  # to be turned by a quarter

    turned = load_image(save(tmp_path / "x.png", exif=exif))

    np.testing.assert_array_equal(np.asarray(turned), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"no image"), "expected an image, got: cannot identify"),
        (lambda path: path.write_bytes(b""), "expected an image, got: cannot identify"),
        (lambda _path: None, "expected an image, got: .*No such file"),
        (lambda path: save(path) and path.write_bytes(path.read_bytes()[:-30]), "expected an image, got: "),
        (lambda path: images.fromarray(PIXELS[..., 0].astype(np.uint16)).save(path), "8 bits a channel, got mode I"),
    ],
)
def test_what_is_no_image_is_one_error(tmp_path, make, words):
    make(tmp_path / "x.png")

    with pytest.raises(InputError, match=words):
        load_image(tmp_path / "x.png")
