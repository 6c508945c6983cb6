"""The Role that README.md tells of: the chart makes it, and the tests on a real API server give it to the bot."""

import re
from pathlib import Path
from typing import Any

import yaml

_README = Path(__file__).parent.parent / "README.md"


def rules() -> list[dict[str, Any]]:
    found = re.search(r"<!-- role -->\n(.*?)<!-- /role -->", _README.read_text(), re.DOTALL)
    assert found is not None
    held: list[dict[str, Any]] = yaml.safe_load(found[1])["rules"]
    return held
