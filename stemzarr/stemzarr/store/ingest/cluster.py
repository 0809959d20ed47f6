"""Runs the tasks of an ingest on dask.distributed: on processes of this machine, or a cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stemzarr.errors import StemzarrError, WorkerError
from stemzarr.options import IngestOptions
from stemzarr.store.ingest.journal import ShardRecord
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.ingest.task import ShardTask, Workspace

__all__ = ["run_on_cluster", "start_cluster"]

_RETRIES = 3
_TIMEOUT_S = 30


def run_task(task: ShardTask) -> ShardRecord:
    """Run one task in a worker of the cluster."""
    return task.run(Workspace())


def run_on_cluster(
    tasks: Sequence[ShardTask],
    options: IngestOptions,
    note: Callable[[ShardRecord], None],
    counter: ProgressCounter,
) -> None:
    """Run all tasks on the workers that `options` names, and note each as it is done.

    A task whose worker dies is run again by another. Workers must see the source and the folder
    of the store under the same paths.

    Parameters
    ----------
    tasks
        What to do.
    options
        Its ``workers`` or ``scheduler``.
    note
        Called with what each task wrote.
    counter
        Counts bytes, a shard at a time.

    Raises
    ------
    WorkerError
        The cluster cannot be reached, or a task failed on several workers.
    """
    distributed: Any = importlib.import_module("distributed")
    sizes = {task.array.shard_path(task.number): task.nbytes for task in tasks}
    with start_cluster(options) as client:
        futures = [client.submit(run_task, task, pure=False, retries=_RETRIES) for task in tasks]
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                record = _result(future)
                note(record)
                counter.add(sizes[record.path])
        except BaseException:
            client.cancel(futures)
            raise


def _result(future: Any) -> ShardRecord:  # noqa: ANN401 - a future of distributed
    try:
        record: ShardRecord = future.result()
    except StemzarrError:
        raise
    except Exception as error:
        raise WorkerError(
            f"a task failed on the cluster: {error}",
            hint="look at the workers' logs; the same command continues with what is missing",
        ) from error
    return record


@contextlib.contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Let processes that are born in the block take no notice of Ctrl-C.

    A terminal sends it to all its processes, but only the one that was started by hand knows what
    to do; it ends the others. They inherit that it is ignored, as it is here for these moments.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _settings() -> dict[str, Any]:
    """Return settings of dask under which workers are as fast as threads.

    Its nannies let malloc give memory back to the system at every turn, so that each chunk is
    encoded into new pages, which takes as long again as to encode it. And its profiler stops
    the worker a hundred times a second.
    """
    dask: Any = importlib.import_module("dask")
    name = "distributed.nanny.pre-spawn-environ"
    variables = {k: v for k, v in dask.config.get(name).items() if k != "MALLOC_TRIM_THRESHOLD_"}
    return {name: variables, "distributed.worker.profile.enabled": False}


@contextlib.contextmanager
def start_cluster(options: IngestOptions) -> Iterator[Any]:
    """Start the worker processes that `options` names, or find its scheduler; give a client.

    Raises
    ------
    WorkerError
        The cluster cannot be reached or started.
    """
    dask: Any = importlib.import_module("dask")
    distributed: Any = importlib.import_module("distributed")
    try:
        if options.scheduler is not None:
            client = distributed.Client(options.scheduler, timeout=_TIMEOUT_S, set_as_default=False)
            cluster: Any = contextlib.nullcontext()
        else:
            with _children_ignore_interrupts(), dask.config.set(_settings()):
                cluster = distributed.LocalCluster(
                    n_workers=options.workers,
                    threads_per_worker=1,
                    processes=True,
                    # The budget bounds what a task holds; its libraries' memory is not the data's.
                    memory_limit=0,
                    # Even without a dashboard a port is taken; a fixed one may be in use.
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                    # What matters is raised; the rest would be written over the progress display.
                    silence_logs=logging.CRITICAL,
                )
            client = distributed.Client(cluster, set_as_default=False)
    except (OSError, TimeoutError, RuntimeError, ValueError) as error:
        where = options.scheduler or f"{options.workers} processes on this machine"
        msg = f"no cluster at {where}: {str(error) or type(error).__name__}"
        raise WorkerError(msg, hint="check that the scheduler runs and its address") from error
    with cluster, client:
        yield client
