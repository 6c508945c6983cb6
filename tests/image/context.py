"""What .dockerignore lets into the image, as Docker reads it: the last pattern that fits decides."""

import shutil
import subprocess
from pathlib import Path


def context_of(checkout: Path, folder: Path) -> Path:
    """A folder with what `docker build` would be given of what git has or would add in ``checkout``."""
    patterns = [
        line for line in (checkout / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if _let_in(name, patterns) and (checkout / name).is_file():
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, to)
    return folder


def _let_in(name: str, patterns: list[str]) -> bool:
    let_in = True
    for pattern in patterns:
        wanted = pattern.removeprefix("!").removeprefix("**/")
        parts = name.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if wanted == "*" or wanted in above or (pattern.startswith("**/") and wanted in parts):
            let_in = pattern.startswith("!")
    return let_in
