"""Blocking calls in threads beside the event loop, with limited concurrency and limited waiting."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class TooBusy(Exception):
    """Too many calls are waiting, or no thread became free in time."""


class ThreadLimiter:
    """Runs ``most`` calls at once; ``queue`` further ones wait for up to ``patience`` seconds.

    A call whose client has gone keeps its place until it ends. A call that hangs blocks neither the
    event loop nor the end of the process.
    """

    def __init__(self, most: int, queue: int, patience: float) -> None:
        self._free = asyncio.Semaphore(most)
        self._queue = queue
        self._patience = patience

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """Return or raise what the call does; raise TooBusy."""
        if self._free.locked() and self._queue <= 0:
            raise TooBusy
        self._queue -= 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise TooBusy from None
        finally:
            self._queue += 1
        running = asyncio.create_task(_run_in_thread(lambda: call(*args)))
        running.add_done_callback(lambda _: self._free.release())
        return await _await(running)


class SharedCall(Generic[T]):
    """A call that runs at most once at a time, and whose result all waiting callers share.

    So it costs the same for one client as for a hundred.
    """

    def __init__(self, call: Callable[[], T], patience: float) -> None:
        self._call = call
        self._patience = patience
        self._running = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return or raise what the next call does; raise TooBusy."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._patience):
                return await _await(self._next)
        except TimeoutError:
            raise TooBusy from None

    async def _run(self) -> T:
        async with self._running:
            self._next = None
            return await _run_in_thread(self._call)


async def _await(task: "asyncio.Task[T]") -> T:
    """Return the result of a task that continues if its caller is cancelled."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # not logged again
    return await asyncio.shield(task)


async def _run_in_thread(call: Callable[[], T]) -> T:
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(error)

    try:
        # a daemon thread: the interpreter would wait for an executor's threads when it exits
        threading.Thread(target=work, name="http-call", daemon=True).start()
    except RuntimeError:  # no more threads
        raise TooBusy from None
    return await asyncio.wrap_future(future)
