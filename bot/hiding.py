"""Imports a library as if another were not installed, which it would load, and we never use through it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, cast


@contextlib.contextmanager
def without(package: str) -> Iterator[None]:
    """Within it ``package`` cannot be imported, unless it has been; memory is what that saves (bench/)."""
    hidden = package not in sys.modules
    if hidden:
        # as Python itself marks what must not be imported
        cast("dict[str, Any]", sys.modules)[package] = None
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]
