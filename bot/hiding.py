"""Imports a library as if another were not installed, which it would load, and we never use through it."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(package: str) -> Iterator[None]:
    """Within it ``package`` cannot be imported, unless it has been; memory is what that saves (bench/)."""
    hidden = package not in sys.modules
    if hidden:
        # as Python itself marks what must not be imported
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]
