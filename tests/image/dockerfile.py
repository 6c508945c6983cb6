"""Carries out a Dockerfile's steps in a plain folder: the same commands and paths, with the folder before each path.

What it knows of the format is what ours uses; anything else is an error, so that nothing is passed over.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# Paths that are the image's own; /usr, /bin and /tmp are the base image's, here the machine's.
_OWN = re.compile(r"(?<![\w.-])/(opt|app|data|build)(?=[/\s'\":]|$)")


@dataclass
class Stage:
    """What one FROM begins: a root folder, and what the instructions have set."""

    root: Path
    base: str
    workdir: str = "/"
    arguments: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    stop_signal: str = ""

    def here(self, text: str) -> str:
        """``text`` with each path of the image below this stage's folder."""
        return _OWN.sub(lambda found: f"{self.root}/{found[1]}", text)

    def path(self, path: str) -> Path:
        return self.root / (path if path.startswith("/") else f"{self.workdir}/{path}").lstrip("/")


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction and what follows it, on one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    parted = [line.strip().partition(" ") for line in joined]
    return [(word.upper(), " ".join(rest.split())) for word, _, rest in parted]


def build(dockerfile: Path, context: Path, folder: Path, tools: Path, **given: str) -> Stage:
    """The last stage. ``context``: what COPY copies from; ``tools``: a folder with the base image's python and pip."""
    stages: dict[str, Stage] = {}
    common: dict[str, str] = {}
    stage: Stage | None = None
    for word, rest in instructions(dockerfile.read_text()):
        if word == "ARG":
            name, _, default = rest.partition("=")
            (common if stage is None else stage.arguments)[name] = given.get(name, default)
        elif word == "FROM":
            image, _, name = rest.partition(" AS ")
            stage = Stage(root=folder / (name or "final"), base=_expanded(image, common))
            stage.root.mkdir()
            stages[name or "final"] = stage
        elif stage is None:
            raise ValueError(f"{word} before FROM")
        else:
            _carry_out(stage, word, rest, context, tools, stages)
    assert stage is not None
    return stage


def _carry_out(stage: Stage, word: str, rest: str, context: Path, tools: Path, stages: dict[str, Stage]) -> None:
    match word:
        case "WORKDIR":
            stage.workdir = rest
            stage.path(rest).mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(stage, shlex.split(rest), context, stages)
        case "RUN":
            path = f"{tools}:{os.environ['PATH']}"
            environ = {"PATH": path, "HOME": str(stage.root), **stage.environ, **stage.arguments}
            subprocess.run(["/bin/sh", "-ec", stage.here(rest)], check=True, cwd=stage.path(""), env=environ)
        case "ENV" | "LABEL":
            held = dict(part.partition("=")[::2] for part in shlex.split(_expanded(rest, stage.arguments)))
            (stage.environ if word == "ENV" else stage.labels).update(held)
        case "USER":
            stage.user = rest
        case "VOLUME":
            stage.volumes += json.loads(rest)
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        case "CMD":
            stage.command = json.loads(rest)
        case "HEALTHCHECK":
            stage.health = json.loads(rest.partition(" CMD ")[2])
        case "STOPSIGNAL":
            stage.stop_signal = rest
        case "EXPOSE":
            pass
        case _:
            raise ValueError(f"this does not know {word}")


def _copy(stage: Stage, words: list[str], context: Path, stages: dict[str, Stage]) -> None:
    options = {word.partition("=")[0]: word.partition("=")[2] for word in words if word.startswith("--")}
    *sources, target = [word for word in words if not word.startswith("--")]
    origin = stages[options["--from"]].root if "--from" in options else context
    for source in sources:
        there = origin / source.lstrip("/")
        to = stage.path(target) / there.name if target.endswith("/") else stage.path(target)
        to.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(there, to, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(there, to)
        if owner := options.get("--chown"):
            user, _, group = owner.partition(":")
            for path in (to, *to.rglob("*")):
                os.chown(path, int(user), int(group))
    # a program's first line names its interpreter, which is now below this stage's folder
    if "--from" in options:
        for script in stage.root.rglob("bin/*"):
            _moved(script, origin, stage.root)


def _moved(script: Path, origin: Path, root: Path) -> None:
    if script.is_symlink() or not script.is_file():
        return
    held = script.read_bytes()
    if held.startswith(b"#!") and str(origin).encode() in held:
        script.write_bytes(held.replace(str(origin).encode(), str(root).encode()))


def _expanded(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)
