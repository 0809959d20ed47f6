"""Work on the workers of a dask client, in place of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

from stemzarr.errors import OptionError, StemzarrError, WorkerError

__all__ = ["Client", "Workers", "check_client", "map_on_client"]

_RETRIES = 3

Item = TypeVar("Item")
Result = TypeVar("Result")


class Client(Protocol):
    """What is asked of a ``dask.distributed.Client``, which need not be installed."""

    @property
    def asynchronous(self) -> bool:
        """Whether results have to be awaited."""
        ...

    def map(self, function: Callable[..., Any], items: Any, /, **how: Any) -> list[Any]:  # noqa: ANN401 - as it has them
        """Send a call for each item, and return its future."""
        ...

    def cancel(self, futures: Any, /) -> Any:  # noqa: ANN401 - the same
        """Drop what is not done."""
        ...


Workers: TypeAlias = Client | None
"""A client whose workers do something; None for threads of this process."""


def check_client(client: Client) -> None:
    """Raise unless something is a client of dask.distributed that answers in this thread.

    Raises
    ------
    OptionError
        It is something else, or an asynchronous client.
    """
    if not (hasattr(client, "map") and hasattr(client, "asynchronous")):
        msg = f"client is {type(client).__name__}"
        raise OptionError(msg, hint="give a dask.distributed.Client")
    if client.asynchronous:
        raise OptionError("the client is asynchronous", hint="give one that waits for results")


def map_on_client(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    client: Client,
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, computed by workers.

    A task whose worker dies is run again by another; what is not done when the consumer stops is
    cancelled.

    Parameters
    ----------
    function
        Is sent to the workers, which must see the files that it reads under the same paths.
    items
        What it is called with.
    client
        A client of dask.distributed.

    Raises
    ------
    WorkerError
        A task failed on several workers.
    StemzarrError
        Whatever a task raised.
    """
    futures = client.map(function, list(items), pure=False, retries=_RETRIES)
    try:
        while futures:
            yield _result(futures.pop(0))
    finally:
        client.cancel(futures)


def _result(future: Any) -> Any:  # noqa: ANN401 - a future of distributed
    try:
        return future.result()
    except StemzarrError:
        raise
    except Exception as error:
        hint = "look at the workers' logs; they need the same stemzarr, and the file's path"
        raise WorkerError(f"a task failed on the cluster: {error}", hint=hint) from error
