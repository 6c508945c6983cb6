"""Threads that nobody waits for: a resolver that hangs holds up neither the next name nor the end of the program."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Unawaited(ThreadPoolExecutor):
    """A thread for each call, where a pool would be full of those that hang; for a loop's default executor.

    A name that is looked up cannot be given up before the system does so, which may take half a minute.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> "Future[Any]":
        """Begins the call at once."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        threading.Thread(target=_call, args=(future, fn, args, options), daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Returns at once."""


def _call(future: "Future[Any]", fn: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        result = fn(*args, **options)
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        # the traceback of an error knows this frame, and the frame the error: what it holds would wait to be collected
        del future
