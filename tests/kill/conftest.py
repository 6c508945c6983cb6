"""Before the first process is forked, what it is forked from is told on which databases to play the story."""

import os
from pathlib import Path

import pytest

from tests.databases import KINDS, copy_of


@pytest.fixture(autouse=True, scope="session")
def warmed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
    folder: Path = tmp_path_factory.mktemp("warmed")
    os.environ["KILL_WARM"] = " ".join(copy_of(kind, folder, request) for kind in KINDS)
