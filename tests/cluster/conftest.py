"""A real control plane for the session, with a node that is played by kubelet.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needed import fail_or_skip

_HERE = Path(__file__).parent
_SCRIPT = str(_HERE / "cluster.sh")


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """Where it is, and the folder with its certificates, logs and ``admin.kubeconfig``."""

    url: str
    run: Path


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    _require_programs()
    run = tmp_path_factory.mktemp("control-plane")
    (run / "app.log").write_text("".join(f"ERROR mistral call failed: 401 (call {n})\n" for n in range(40)))
    kubelet: subprocess.Popen[str] | None = None
    try:
        # what it starts outlives it, so its output must not be a pipe that the servers hold open
        with (run / "url").open("w") as out:
            subprocess.run([_SCRIPT, "start", str(run)], check=True, stdout=out, timeout=90)
        url = (run / "url").read_text().strip()
        program = [sys.executable, str(_HERE / "kubelet.py"), url, "admin-token", str(run)]
        kubelet = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert kubelet.stdout is not None
        assert kubelet.stdout.readline() == "node ready\n"
        yield ControlPlane(url=url, run=run)
    finally:
        if kubelet is not None:
            kubelet.kill()
            kubelet.communicate()
        subprocess.run([_SCRIPT, "stop", str(run)], check=False)


def _require_programs() -> None:
    cache = Path(os.environ.get("MISTRAL_BOT_CACHE", "/var/cache/mistral-bot"), "kubernetes-1.20.2")
    missing = [name for name in ("kube-apiserver", "kube-controller-manager") if not (cache / name).exists()]
    if not missing and not any(Path(folder, "etcd").exists() for folder in os.get_exec_path()):
        missing.append("etcd (Debian package etcd-server)")
    if not missing:
        return
    line = f"not there: {', '.join(missing)}; run `make test-cluster` as root on Debian 12, which builds them"
    fail_or_skip(line)
