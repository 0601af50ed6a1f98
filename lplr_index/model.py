"""What training learns, and all an index needs beside the rows: A ~ 1 mu^T + L R, and the code of L.

A row's bytes are its code, then its scalars: where the method has one, a gain of one byte or in the last nibble of the
code's head, and under L2 a norm of one byte. Its reconstruction is g (mu + l R).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.basis import right_inverse
from lplr_index.blocks import Form
from lplr_index.codecs import Codec
from lplr_index.errors import InputError
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.linalg import single_threaded
from lplr_index.norms import NO_NORM, Norm
from lplr_index.products import Product


@dataclass(frozen=True, eq=False)
class Model:
    """A trained factorization, the same for every row.

    Attributes
    ----------
    mu : ndarray of shape (d,), float32
        The centre; zeros for the published methods, which do not centre.
    R : ndarray of shape (m, d), float32, or None
        The right factor; the identity where None (``nq``).
    encoder : ndarray of shape (d, m), float32, or None
        l = Q((x - mu) encoder); the right inverse of R (the least-squares solution for l) where None.
    codec : Codec
        The code of rows of L.
    gain : Gain
        What the codes of gains mean. Of 4 bits, they lie in the last nibble of the head, which the codec leaves free.
    norm : Norm
        What the codes of norms mean.
    head : int, optional
        How many nibbles lie in the heads of blocks, a multiple of eight; all where None.
    """

    mu: npt.NDArray[np.float32]
    R: FloatMatrix | None
    encoder: FloatMatrix | None
    codec: Codec
    gain: Gain = NO_GAIN
    norm: Norm = NO_NORM
    head: int | None = None

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return len(self.mu)

    @property
    def code_size(self) -> int:
        """Bytes of a row, scalars included."""
        return self.form.code_size

    @property
    def form(self) -> Form:
        """What the bytes of a row are."""
        singles = self.codec.stages + (self.gain.bits == 8) + (self.norm.bits == 8)
        tail = 0 if self.head is None else self.codec.nibbles - self.head
        return Form(self.codec.nibbles, singles, int(self.norm.bits == 16), tail)

    @property
    def nbytes(self) -> int:
        """Bytes of what does not grow with the rows."""
        arrays = (self.mu, self.R, self.encoder, *self.codec.arrays.values())
        return sum(a.nbytes for a in arrays if a is not None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides what codes mean; indexes merge only where it is the same."""
        return self._digest()

    def _digest(self) -> str:
        numbers = [self.gain.step, self.norm.unit, self.codec.nibbles]
        if not self.gain.is_multiple:
            numbers += [self.gain.bits, self.gain.least, self.gain.power, self.gain.usual]
        if self.norm.bits == 8:
            numbers += [self.norm.least, self.norm.most]
        if self.head is not None:
            numbers.append(self.head)
        hashed = hashlib.sha256(np.array(numbers).tobytes())
        for a in (self.mu, self.R, self.encoder, *self.codec.arrays.values()):
            hashed.update(b"-" if a is None else repr(a.shape).encode() + np.ascontiguousarray(a).tobytes())
        return hashed.hexdigest()

    def check(self) -> None:
        """Raise InputError unless the parts fit together, for models that come from a file."""
        d, m = self.d, self.codec.m
        shapes = {"mu": (self.mu, (d,)), "R": (self.R, (m, d)), "encoder": (self.encoder, (d, m))}
        for name, (a, shape) in shapes.items():
            if a is not None and (a.shape != shape or not np.isfinite(a).all()):
                raise InputError(f"expected {name} finite and of shape {shape}, got shape {a.shape}")
        if self.R is None and m != d:
            raise InputError(f"expected {d} columns where R is the identity, got {m}")
        self.gain.check()
        if self.head is not None and (self.head % 8 or not 0 < self.head < self.codec.nibbles):
            raise InputError(f"expected a head of eights below {self.codec.nibbles} nibbles, got {self.head}")
        if self.gain.bits == 4 and self.codec.uses(self.form.head - 1):
            raise InputError(f"expected nibble {self.form.head - 1} free for gains of 4 bits, got a code that uses it")
        self.norm.check()

    def project(self, xq: FloatMatrix) -> FloatMatrix:
        """y = R q of each query: (nq, d) to (nq, m)."""
        return xq if self.projection is None else self.projection(xq)

    def offsets(self, xq: FloatMatrix) -> npt.NDArray[np.float64]:
        """<q, mu> of each query, (nq,)."""
        return np.asarray((xq * self.mu).sum(axis=1, dtype=np.float64))

    def encode(self, x: FloatMatrix) -> ByteMatrix:
        """The bytes (n, code_size) of rows x (n, d): code, gain, norm."""
        codes = self.plain_codes(x)
        return self.with_scalars(codes, x, self.plain_lengths(codes) if self.gain.bits or self.norm.bits else None)

    def plain_codes(self, x: FloatMatrix) -> ByteMatrix:
        """The codes (n, bytes) of rows x (n, d) without their scalars."""
        y = x - self.mu if self._centred else x
        if self._encoding:
            y = self._encoding(y)
        return self.codec.encode(np.ascontiguousarray(y))

    def plain_lengths(self, codes: ByteMatrix) -> npt.NDArray[np.float64]:
        """The lengths (n,) of what codes (n, bytes) without scalars stand for."""
        return self.norms(self.codec.decode(codes))

    def with_scalars(self, codes: ByteMatrix, x: FloatMatrix, norms: npt.NDArray[np.float64] | None) -> ByteMatrix:
        """The bytes (n, code_size) of rows x (n, d) whose codes stand for vectors of lengths ``norms`` (n,)."""
        parts = [codes]
        if norms is not None and self.gain.bits:
            gains = self.gain.encode(np.sqrt(np.square(x, dtype=np.float64).sum(axis=1)), norms)
            if self.gain.bits == 4:
                codes[:, self._gain_byte] |= gains << 4
            else:
                parts.append(gains[:, None])
            norms = norms * self.gain.decode(gains)
        if norms is not None and self.norm.bits:
            parts.append(self.norm.encode(norms))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Reconstructions (n, d) of rows' bytes (n, code_size)."""
        return self.stretched(self.plain(codes), codes)

    def plain(self, codes: ByteMatrix) -> FloatMatrix:
        """What rows' bytes (n, code_size) stand for without gains, (n, d)."""
        L = self.coordinates(codes)
        x = L if self._reconstruction is None else self._reconstruction(L)
        return x + self.mu if self._centred else x

    def stretched(self, x: FloatMatrix, codes: ByteMatrix) -> FloatMatrix:
        """Rows x (n, d) times the gains in their bytes (n, code_size)."""
        if self.gain.bits:
            x = x * self.gain.decode(self.gain_codes(codes), np.float32)[:, None]
        return np.ascontiguousarray(x, dtype=np.float32)

    def coordinates(self, codes: ByteMatrix) -> FloatMatrix:
        """Rows of L (n, m) in rows' bytes (n, code_size), without their gains."""
        return self.codec.decode(np.ascontiguousarray(codes[:, : self.codec.nibbles // 2 + self.codec.stages]))

    def gain_codes(self, codes: ByteMatrix) -> ByteMatrix:
        """The codes of gains (n,) in rows' bytes (n, code_size), of a model that has gains."""
        if self.gain.bits == 4:
            return np.right_shift(codes[:, self._gain_byte], 4, dtype=np.uint8)
        return codes[:, self._gain_byte]

    def stored_norms(self, codes: ByteMatrix) -> npt.NDArray[np.float64]:
        """The squared norms (n,) in rows' bytes (n, code_size), of a model that has norms."""
        stored = np.ascontiguousarray(codes[:, codes.shape[1] - self.norm.bits // 8 :])
        values = self.norm.values[stored.view(f"<u{stored.shape[1]}")[:, 0]]
        norms: npt.NDArray[np.float64] = self.norm.unit + values.astype(np.float64)
        return norms

    def norms(self, L: FloatMatrix) -> npt.NDArray[np.float64]:
        """|mu + l R| of each row of L (n, m), (n,), without forming the reconstructions."""
        from lplr_index.kernels import codes as kernel

        norms = np.empty(len(L))
        turn, shift, base = self._gram
        kernel.row_norms(L, L if turn is None else turn(L), shift, base, norms)
        return norms

    @property
    def _gain_byte(self) -> int:
        """The byte of the gain; of one of 4 bits, its high nibble."""
        return self.form.head // 2 - 1 if self.gain.bits == 4 else self.codec.nibbles // 2 + self.codec.stages

    @cached_property
    def _centred(self) -> bool:
        return bool(self.mu.any())

    @cached_property
    def projection(self) -> Product | None:
        """The product with R^T; None where R is the identity."""
        return None if self.R is None else Product(self.R.T)

    @cached_property
    def _reconstruction(self) -> Product | None:
        return None if self.R is None else Product(self.R)

    @cached_property
    def _encoding(self) -> Product | None:
        if self.R is None:
            return None
        return Product(right_inverse(self.R) if self.encoder is None else self.encoder)

    @cached_property
    def _gram(self) -> tuple[Product | None, npt.NDArray[np.float64], float]:
        """L to L T, 2 R mu and |mu|^2; T is triangular, and l T l^T = l R R^T l^T, for half the work."""
        mu = self.mu.astype(np.float64)
        if self.R is None:
            return None, 2 * mu, float(mu @ mu)
        R = self.R.astype(np.float64)
        with single_threaded():
            gram = R @ R.T
            return (
                Product(np.triu(2 * gram - np.diag(gram.diagonal())).astype(np.float32)),
                2 * (R @ mu),
                float(mu @ mu),
            )
