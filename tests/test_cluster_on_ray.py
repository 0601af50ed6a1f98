"""cluster/on_ray.py: a real cluster of several processes, some of which are killed, finds what one process finds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from clusters import everything, one_index, same, store
from commands import files, run, run_apart
from lplr_index import IndexIVFLPLR, IndexLPLR, write_index, write_vectors
from lplr_index.cluster import ClusterStore
from lplr_index.cluster.on_ray import RETRIES, RayMachines
from lplr_index.errors import ChecksumError, ClusterError, InputError, VectorFileError
from stores import plain_lists

pytestmark = [
    pytest.mark.ray,
    # Ray leaves sockets and log files to the end of the process, and says what it will do otherwise one day.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*Ray will no longer override accelerator:FutureWarning"),
]
ray = pytest.importorskip("ray")

WORKERS = 3


@pytest.fixture(scope="module")
def orders(tmp_path_factory) -> Path:
    """Give a folder where a file with the name of a moment has the first worker that comes to it kill itself."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def machines(orders):
    """Give a cluster of this machine's, whose workers note who they are and follow orders."""

    def set_up():
        from lplr_index import index
        from lplr_index.cluster import slices
        from lplr_index.store import searching, segments

        (orders / f"worker-{os.getpid()}").touch()

        def die_if_ordered(moment):
            try:
                (orders / moment).unlink()  # one of those who come at the same time
            except FileNotFoundError:
                return
            (orders / f"died-{moment}-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

        def dying(owner, name, moment):
            whole = getattr(owner, name)

            def function(*args, **options):
                die_if_ordered(moment)
                return whole(*args, **options)

            setattr(owner, name, function)

        def half_written(*args):
            for number, part in enumerate(pack(*args)):
                if number == 2:
                    die_if_ordered("writing")
                yield part

        pack, segments.pack = segments.pack, half_written
        dying(slices.Source, "open", "opening")
        dying(index.IndexLPLR, "sa_encode", "encoding")
        dying(searching, "search", "searching")

    ray.init(
        address="local",
        num_cpus=WORKERS,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": set_up},
    )
    with RayMachines("auto") as joined:
        yield joined
    assert ray.is_initialized()  # it was not theirs to end
    ray.shutdown()


def killed(orders, moment):
    return sorted(orders.glob(f"died-{moment}-*"))


@pytest.fixture(scope="module")
def x(tmp_path_factory, vectors):
    here = tmp_path_factory.mktemp("vectors")
    write_vectors(here / "x.npy", np.concatenate([vectors.xb, vectors.xb[:200]]))
    write_vectors(here / "q.npy", vectors.xq)
    return here / "x.npy"


@pytest.fixture(scope="module")
def one(x):
    return one_index(x, IndexLPLR(48, 2), train_rows=500)


@pytest.fixture(scope="module")
def folder(x, machines):
    return store(x, IndexLPLR(48, 2), x.parent / "folder", machines, slice_rows=96, train_rows=500)


def test_several_workers_build_what_one_process_builds(one, folder, orders):
    assert same(everything(folder), everything(one))
    assert len(list(orders.glob("worker-*"))) >= 2


@pytest.mark.parametrize(("workers", "slice_rows"), [(1, 2000), (2, 300)])
def test_workers_and_slices_change_nothing(x, machines, one, tmp_path, workers, slice_rows):
    few = RayMachines("auto", workers)
    assert few.workers == workers

    folder = store(x, IndexLPLR(48, 2), tmp_path / "f", few, slice_rows=slice_rows, train_rows=500)

    assert same(everything(folder), everything(one))


@pytest.mark.parametrize("moment", ["opening", "encoding", "writing"])
def test_a_worker_killed_in_its_slice_is_replaced_and_nothing_changes(x, machines, folder, orders, tmp_path, moment):
    (orders / moment).touch()

    again = store(x, IndexLPLR(48, 2), tmp_path / "again", machines, slice_rows=96, train_rows=500)

    assert len(killed(orders, moment)) == 1
    assert files(again) == files(folder)


def test_searches_are_those_of_one_index(machines, one, folder, vectors, rng):
    index = ClusterStore(folder, machines)
    allowed = rng.permutation(1200)[:200]

    assert index.workers == WORKERS
    assert same(index.search(vectors.xq, 20), one.search(vectors.xq, 20))
    assert same(index.search(vectors.xq, 2000), one.search(vectors.xq, 2000))
    assert same(index.search(vectors.xq, 20, filter=allowed), one.search(vectors.xq, 20, filter=allowed))


def test_lists_are_built_and_looked_at_by_workers_that_are_killed(x, machines, vectors, orders, tmp_path):
    (orders / "encoding").touch()
    with plain_lists():
        one = one_index(x, IndexIVFLPLR(48, 2, nlist=12), train_rows=500)
        index = IndexIVFLPLR(48, 2, nlist=12)
        folder = store(x, index, tmp_path / "f", machines, slice_rows=96, train_rows=500)
    held = ClusterStore(folder, machines)
    (orders / "searching").touch()

    assert same(everything(folder), everything(one))
    for nprobe in (1, 4, 12):
        assert same(held.search(vectors.xq, 20, nprobe=nprobe), one.search(vectors.xq, 20, nprobe=nprobe))


def test_a_holder_killed_during_and_between_searches_is_replaced_and_nothing_changes(
    machines, one, folder, vectors, orders
):
    index = ClusterStore(folder, machines)
    expected, before = one.search(vectors.xq, 20), len(killed(orders, "searching"))
    for times in (1, 2):
        (orders / "searching").touch()
        assert same(index.search(vectors.xq, 20), expected)
        assert len(killed(orders, "searching")) == before + times
    for _, pid in list(index._held.ask(lambda *_: os.getpid(), None, [()] * WORKERS)):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)

    assert same(index.search(vectors.xq, 20), expected)


def test_a_segment_that_changed_before_its_holder_was_replaced_is_refused(x, machines, vectors, orders, tmp_path):
    folder = store(x, IndexLPLR(48, 2), tmp_path / "f", machines, slice_rows=96, train_rows=500)
    index = ClusterStore(folder, machines)
    for path in folder.glob("segment-*"):
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.unlink()  # holders have the old one mapped
        path.write_bytes(data)
    (orders / "searching").touch()

    with pytest.raises(ChecksumError, match=r"segment-\d+"):
        index.search(vectors.xq, 3)


def test_what_a_worker_raises_is_raised_here(machines, vectors, tmp_path):
    x = vectors.xb.copy()
    x[612, 3] = np.nan
    np.save(tmp_path / "x.npy", x)

    with pytest.raises(VectorFileError) as caught:
        store(tmp_path / "x.npy", IndexLPLR(48), tmp_path / "f", machines, slice_rows=96, train_rows=50)
    assert str(caught.value) == f"expected finite float32 numbers, got nan in row 612, column 3 of {tmp_path / 'x.npy'}"
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_a_call_that_kills_every_worker_ends_in_one_error(machines):
    few = RayMachines("auto", 1)
    few.retries = 1

    with pytest.raises(ClusterError, match="expected every worker to finish, got WorkerCrashedError"):
        list(few.map(lambda _: os.kill(os.getpid(), signal.SIGKILL), None, [()]))


def test_no_more_is_held_than_there_are_workers(machines):
    with pytest.raises(InputError, match=f"at most {WORKERS} things to hold, one a worker, got {WORKERS + 1}"):
        machines.hold(dict, [()] * (WORKERS + 1))
    assert RETRIES > 1


def test_workers_are_a_positive_number(machines):
    with pytest.raises(InputError, match="workers"):
        RayMachines("auto", 0)


def test_a_connection_of_ones_own_is_not_mixed_up_with_another_cluster(machines):
    with pytest.raises(ClusterError, match="expected a Ray cluster at local, got none"):
        RayMachines("local")


# The command line


def test_the_command_builds_and_searches_on_the_cluster(capsys, machines, x, one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_index(one, "one.lplr")
    options = ["--bits", 2, "--train-rows", 500, "--ray", "auto", "--slice-rows", 96, "--workers", 2]

    built = run(capsys, "build", x, "-o", "folder", *options, "--json")
    assert built.status == 0
    assert built.document["rows"] == 1200
    assert built.document["segments"] == 13

    queries = x.with_name("q.npy")
    assert run(capsys, "search", "one.lplr", queries, "-o", "one.npz").status == 0
    for how in (["--ray", "auto"], ["--ray", "auto", "--workers", 1], []):
        assert run(capsys, "search", "folder", queries, "-o", "folder.npz", *how).status == 0
        with np.load("one.npz") as expected, np.load("folder.npz") as got:
            assert same((got["D"], got["I"]), (expected["D"], expected["I"]))


def test_the_command_starts_a_cluster_of_its_own(x, one, tmp_path):
    options = ["--bits", 2, "--train-rows", 500, "--ray", "local", "--slice-rows", 500, "--workers", 2]

    built = run_apart("build", x, "-o", tmp_path / "folder", *options, "--json")

    assert built.status == 0, built.err
    assert built.document["segments"] == 3
    assert same(everything(tmp_path / "folder"), everything(one))


def test_where_no_cluster_runs_the_command_says_so(x, tmp_path):
    done = run_apart("build", x, "-o", tmp_path / "folder", "--ray", "127.0.0.1:1")

    assert "expected a Ray cluster at 127.0.0.1:1, got none" in done.complaint
    assert not (tmp_path / "folder").exists()
