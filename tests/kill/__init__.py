"""Killed at all points in `make test-kill`, at a sample of them in `make test`; neither runs what the other has run."""

import os

import pytest

ALL = os.environ.get("KILL_AT") == "all"
takes_minutes = pytest.mark.skipif(not ALL, reason="takes minutes: `make test-kill`")
sampled = pytest.mark.skipif(ALL, reason="the same in `make test`")
