"""Who stands beside whom: our methods and other packages' indexes, each at the bytes a row may cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from lplr_index.errors import InputError
from lplr_index.evaluation.offers import EXACT, OURS, Contender, Skip, Wanted
from lplr_index.evaluation.peers import PEERS, Peer
from lplr_index.index import IndexLPLR
from lplr_index.metric import parse_metric
from lplr_index.settings import METHODS

__all__ = ["EXACT", "OURS", "Contender", "Skip", "chosen_peers", "contenders"]


def contenders(
    d: int,
    bits: Sequence[float],
    *,
    metric: str | int = "cosine",
    nt: int,
    methods: Sequence[str] = METHODS,
    peers: bool | Sequence[str] = True,
    thorough: bool = False,
    additive_codes: int = 0,
    seed: int = 0,
) -> tuple[list[Contender], list[Skip]]:
    """Return who competes at these budgets, ours first, and who cannot.

    Parameters
    ----------
    d : int
        Dimension.
    bits : sequence of float
        Bits per coordinate, everything that grows with the rows included: floor(bits * d / 8) bytes a row. Peers that
        come in sizes of their own come in all of them.
    metric : {"cosine", "ip", "l2"} or int
        Under cosine, vectors of unit length are expected.
    nt : int
        Training rows there will be; a product quantizer needs one for each centroid.
    methods : sequence of str
        Which of ours.
    peers : bool or sequence of str
        Whether other packages' are wanted, or whose: names in ``PEERS``. One that is not installed is named.
    thorough : bool
        Train faiss's product and local search quantizers with its default iterations, which takes minutes; otherwise
        with fewer, and the notes say how many.
    additive_codes : int
        The most codes a row of faiss's additive quantizers, RQ and LSQ, which are left out by default: for 16 codes
        they train for minutes, for 100 for hours.
    seed : int
        Of everything random, faiss's rotations and k-means included.

    Raises
    ------
    InputError
        If metric, a method, a peer, or a number of bits is not one.
    """
    wanted = Wanted(d, tuple(bits), parse_metric(metric), nt, thorough, additive_codes, seed)
    found = list(_ours(wanted, methods))
    for peer in chosen_peers(peers):
        found += peer.contenders(wanted)
    return [one for one in found if isinstance(one, Contender)], [one for one in found if isinstance(one, Skip)]


def chosen_peers(peers: bool | Sequence[str]) -> list[Peer]:  # noqa: FBT001
    """Return the packages of these names, all for True, none for False.

    Raises
    ------
    InputError
        If a name is not one.
    """
    if isinstance(peers, bool):
        return list(PEERS.values()) if peers else []
    for name in peers:
        if name not in PEERS:
            raise InputError(f"expected peers among {', '.join(PEERS)}, got {name!r}")
    return [PEERS[name] for name in dict.fromkeys(peers)]


def _ours(wanted: Wanted, methods: Sequence[str]) -> Iterator[Contender | Skip]:
    for method in methods:
        if method not in METHODS:
            raise InputError(f"expected methods among {', '.join(METHODS)}, got {method!r}")
        for budget in wanted.bits:
            name = f"{OURS}{method}"
            build = partial(IndexLPLR, wanted.d, bits=budget, metric=wanted.metric, method=method, seed=wanted.seed)
            try:
                build()
            except InputError as err:
                yield Skip(name, budget, str(err))
            else:
                yield Contender(name, name, "", budget, build)
