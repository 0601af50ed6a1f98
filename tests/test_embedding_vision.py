"""Real models, small and on the CPU: torchvision's with random weights, as trained ones come over the internet."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.embedding import ImageEncoder, image_encoder
from lplr_index.embedding.vision import MODEL, PENULTIMATE
from lplr_index.embedding.weights import weights_digest
from lplr_index.errors import InputError

pytestmark = pytest.mark.torch

images = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def pictures(rng):
    return [rng.integers(256, size=(32, 48, 3), dtype=np.uint8) for _ in range(3)]


def random_model(torch, name, **options):
    torch.manual_seed(0)
    return image_encoder(name, weights=None, device="cpu", **options)


def encode(encoder, pictures):
    return encoder.encode([encoder.prepare(each) for each in pictures])


@pytest.mark.parametrize(
    ("name", "layer", "d"),
    [
        ("mobilenet_v3_small", "classifier.0", 1024),
        ("mobilenet_v3_small", PENULTIMATE, 1024),
        ("mobilenet_v3_small", "features", 576),
        ("mobilenet_v3_small", "avgpool", 576),
        (MODEL, PENULTIMATE, 1280),
        ("resnet18", PENULTIMATE, 512),
        ("squeezenet1_1", "features", 512),
    ],
)
def test_a_layer_of_any_classifier_becomes_vectors(torch, pictures, name, layer, d):
    encoder = random_model(torch, name, layer=layer)

    x = encode(encoder, pictures)

    assert (x.shape, x.dtype) == ((3, d), np.float32)
    assert np.isfinite(x).all()
    assert {name: encoder.identity[name] for name in ("model", "layer", "choice", "stretch")} == {
        "model": name,
        "layer": layer,
        "choice": None,
        "stretch": False,
    }
    assert set(encoder.versions) == {"torch", "torchvision", "pillow"}


def test_the_penultimate_layer_is_what_the_last_one_gets(torch, pictures):
    encoder = random_model(torch, "mobilenet_v3_small")
    module = encoder._module
    batch = torch.stack([encoder.prepare(each) for each in pictures])
    with torch.inference_mode():
        expected = module.classifier[:3](torch.flatten(module.avgpool(module.features(batch)), 1))

    np.testing.assert_allclose(encode(encoder, pictures), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_papers_layer_is_the_first_linear_one(torch, pictures):
    encoder = random_model(torch, "mobilenet_v3_small", layer="classifier.0")
    module = encoder._module
    batch = torch.stack([encoder.prepare(each) for each in pictures])
    with torch.inference_mode():
        features = torch.flatten(module.avgpool(module.features(batch)), 1)
        expected = module.classifier[0](features)

    assert features.shape == (3, 576)
    np.testing.assert_allclose(encode(encoder, pictures), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_stretched_image_is_seen_whole(torch):
    picture = np.zeros((64, 192, 3), np.uint8)
    picture[:, :32] = 255  # what cutting out the middle loses

    whole, middle = (random_model(torch, "mobilenet_v3_small", stretch=each).prepare(picture) for each in (True, False))

    assert tuple(whole.shape) == tuple(middle.shape) == (3, 224, 224)
    assert len(torch.unique(middle[0])) == 1
    assert float(whole[0, :, :20].min()) > float(whole[0, :, -20:].max())


def test_the_batch_changes_no_more_than_rounding(torch, pictures):
    encoder = random_model(torch, "resnet18")

    np.testing.assert_allclose(
        encode(encoder, pictures), np.concatenate([encode(encoder, [each]) for each in pictures]), atol=1e-4
    )


def test_names_of_models_layers_and_weights_are_checked(torch):
    with pytest.raises(InputError, match=r"name of a torchvision classifier, such as .*resnet18.*, got 'resnet17'"):
        image_encoder("resnet17")
    with pytest.raises(InputError, match=r"expected layer to be penultimate or one of .*fc, got 'head'"):
        random_model(torch, "resnet18", layer="head")
    with pytest.raises(InputError, match="expected a model with a linear layer, got none"):
        random_model(torch, "squeezenet1_1")
    with pytest.raises(InputError, match="expected a model that can be loaded, got 'resnet18'"):
        image_encoder("resnet18", weights="OTHER")
    with pytest.raises(InputError, match="expected batch to be an integer >= 1, got 0"):
        random_model(torch, "resnet18", batch=0)


def test_a_layer_that_gives_no_vector_is_refused(torch, pictures):
    with pytest.raises(InputError, match=r"a layer that gives a vector an image, got shape \(3, 197, 768\)"):
        encode(random_model(torch, "vit_b_16", layer="encoder"), pictures)


def test_any_module_of_torch_can_be_an_encoder(torch, pictures):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 48 * 3, 4))

    def transform(image):
        return torch.from_numpy(np.asarray(image, np.float32).copy() / 255)

    encoder = ImageEncoder(module, transform, identity={"model": "mine"}, device="cpu")

    np.testing.assert_allclose(
        encode(encoder, pictures), np.stack(pictures).reshape(3, -1) / np.float32(255), rtol=1e-6
    )
    assert encoder.identity == {"model": "mine", "weights": weights_digest(module), "layer": PENULTIMATE}


def test_weights_are_known_by_their_checksum(torch):
    def model(seed, dtype=None):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).to(dtype or torch.float32)

    digests = [weights_digest(each) for each in (model(0), model(1), model(0, torch.bfloat16), model(0)[0])]

    assert len({*digests}) == 4
    assert weights_digest(model(0)) == digests[0]
