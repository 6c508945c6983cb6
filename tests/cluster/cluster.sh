#!/usr/bin/env bash
# A real Kubernetes control plane on loopback (etcd, kube-apiserver, kube-controller-manager); kubelet.py plays its node.
# etcd and Go come from Debian; the two kube-* are built from Debian's source package, once, into a cache folder.
#   cluster.sh build        build what is not in the cache (about five minutes on two cores); needs root and Debian
#   cluster.sh start RUN    start into the folder RUN: pid files, logs, kubelet.crt and .key, admin.kubeconfig; prints the URL
#   cluster.sh stop RUN     stop what start started
set -euo pipefail
VERSION=1.20.2
CACHE=${MISTRAL_BOT_CACHE:-/var/cache/mistral-bot}/kubernetes-$VERSION-3

build() {
  local packages=(etcd-server openssl curl)
  command -v kubectl >/dev/null || packages+=(kubernetes-client)
  built || packages+=(golang-go dpkg-dev golang-github-modern-go-reflect2-dev)
  install_missing "${packages[@]}"
  built && return
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder's name is known now
  trap "chmod -R u+w '$work'; rm -rf '$work'" EXIT
  chmod 755 "$work"
  fetch "$work"
  compile "$work"
}

built() { [ -x "$CACHE/kube-apiserver" ] && [ -x "$CACHE/kube-controller-manager" ]; }

install_missing() {
  local package missing=()
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

fetch() {
  # a private copy of the sources with deb-src, so that the machine's own are left as they are
  local lists=$1/sources.list.d
  mkdir -p "$lists" "$1/src" "$1/gopath/src/k8s.io"
  sed 's/^Types: deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$lists/debian.sources"
  local apt=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$lists" -o APT::Sandbox::User=root
    -o Dir::State::lists="$1/lists")
  mkdir -p "$1/lists/partial"
  apt-get "${apt[@]}" update -qq
  (cd "$1" && apt-get "${apt[@]}" source -qq --download-only kubernetes)
  tar -xzf "$1"/kubernetes_*.orig.tar.gz -C "$1/src" --strip-components=1
  ln -s "$1/src" "$1/gopath/src/k8s.io/kubernetes"
  # reflect2 1.0.1 as vendored crashes under Go 1.18 and newer on the first pretty-printed answer; Debian's 1.0.2 does not
  rm -rf "$1/src/vendor/github.com/modern-go/reflect2"
  cp -rL /usr/share/gocode/src/github.com/modern-go/reflect2 "$1/src/vendor/github.com/modern-go/"
}

compile() {
  export GOPATH=$1/gopath GOCACHE=$1/gocache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
  cd "$GOPATH/src/k8s.io/kubernetes"
  generate_openapi "$1"
  # helm asks the server which version it is; what it answers is in the vendored packages, both of them
  local program package flags="-s -w"
  for package in component-base/version client-go/pkg/version; do
    flags+=" -X k8s.io/kubernetes/vendor/k8s.io/$package.gitVersion=v$VERSION"
    flags+=" -X k8s.io/kubernetes/vendor/k8s.io/$package.gitMajor=1"
    flags+=" -X k8s.io/kubernetes/vendor/k8s.io/$package.gitMinor=20"
  done
  mkdir -p "$CACHE"
  for program in kube-apiserver kube-controller-manager; do
    go build -ldflags "$flags" -o "$1/$program" "k8s.io/kubernetes/cmd/$program"
    mv "$1/$program" "$CACHE/$program"
  done
}

generate_openapi() {
  # Debian's tarball leaves generated files out; the server does not compile without this one
  local marked vendored=k8s.io/kubernetes/vendor/k8s.io
  go build -o "$1/openapi-gen" "$vendored/kube-openapi/cmd/openapi-gen"
  marked=$(grep -rl --include=doc.go --include=types.go '+k8s:openapi-gen=true' \
    staging/src/k8s.io/{api,apimachinery,component-base} staging/src/k8s.io/apiserver/pkg/apis \
    staging/src/k8s.io/apiextensions-apiserver/pkg/apis staging/src/k8s.io/kube-aggregator/pkg/apis pkg/apis cmd |
    xargs -n1 dirname | sort -u |
    sed "s#^staging/src/k8s.io#$vendored#; s#^pkg#k8s.io/kubernetes/pkg#; s#^cmd#k8s.io/kubernetes/cmd#" | paste -sd,)
  local machinery=$vendored/apimachinery/pkg
  # it ends with an error where API rules are violated, which upstream's own build tolerates; without its output go build fails
  "$1/openapi-gen" -O zz_generated.openapi --go-header-file hack/boilerplate/boilerplate.generatego.txt \
    -i "$marked,$machinery/version,$machinery/api/resource,$machinery/util/intstr,$machinery/runtime" \
    -p k8s.io/kubernetes/pkg/generated/openapi -r "$1/violations" --output-base "$GOPATH/src" 2>/dev/null || true
}

free_ports() {
  # below those that the kernel hands out to every connection, which would take them before a server listens
  python3 - <<'PY'
import random, socket
sockets = []
for port in random.SystemRandom().sample(range(12000, 32000), 100):
    try:
        sockets.append(socket.create_server(("127.0.0.1", port)))
    except OSError:
        continue
    if len(sockets) == 3:
        break
print(*(held.getsockname()[1] for held in sockets))
PY
}

start() {
  mkdir -p "$1" && cd "$1"
  openssl genrsa -out sa.key 2048 2>/dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  local name
  for name in kubelet apiserver-kubelet; do
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.crt" -days 30 -subj "/CN=$name" 2>/dev/null
  done
  # the server's own certificate: with a name in it, so that clients verify it
  openssl req -x509 -newkey rsa:2048 -nodes -keyout serving.key -out serving.crt -days 30 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:true -addext keyUsage=critical,digitalSignature,keyCertSign 2>/dev/null
  printf 'admin-token,admin,admin,system:masters\nlimited-token,limited,limited\nbot-token,bot,bot\n' >tokens.csv
  local clients peers api
  for _ in 1 2 3; do
    read -r clients peers api <<<"$(free_ports)"
    serve "$clients" "$peers" "$api"
    wait_until_ready "https://127.0.0.1:$api" && break
    # its port may have been taken meanwhile: then it has ended
    runs etcd && runs apiserver && return 1
    stop .
  done
  runs apiserver
  kubeconfig "https://127.0.0.1:$api" >admin.kubeconfig
  "$CACHE/kube-controller-manager" --kubeconfig admin.kubeconfig --service-account-private-key-file sa.key \
    --controllers deployment,replicaset,serviceaccount,serviceaccount-token,namespace,garbagecollector \
    --use-service-account-credentials=false --leader-elect=false --port 0 --secure-port 0 >manager.log 2>&1 &
  echo $! >manager.pid
  echo "https://127.0.0.1:$api"
}

serve() {
  rm -rf etcd
  etcd --data-dir etcd --listen-client-urls "http://127.0.0.1:$1" --advertise-client-urls "http://127.0.0.1:$1" \
    --listen-peer-urls "http://127.0.0.1:$2" --initial-advertise-peer-urls "http://127.0.0.1:$2" \
    --initial-cluster "default=http://127.0.0.1:$2" --unsafe-no-fsync --log-level error >etcd.log 2>&1 &
  echo $! >etcd.pid
  "$CACHE/kube-apiserver" --etcd-servers "http://127.0.0.1:$1" --secure-port "$3" --bind-address 127.0.0.1 \
    --tls-cert-file serving.crt --tls-private-key-file serving.key --service-account-key-file sa.pub \
    --service-account-signing-key-file sa.key --service-account-issuer https://kubernetes.default.svc \
    --token-auth-file tokens.csv --authorization-mode RBAC --service-cluster-ip-range 10.0.0.0/24 \
    --kubelet-client-certificate apiserver-kubelet.crt --kubelet-client-key apiserver-kubelet.key \
    --kubelet-preferred-address-types InternalIP --disable-admission-plugins ServiceAccount >apiserver.log 2>&1 &
  echo $! >apiserver.pid
}

runs() { [ -f "$1.pid" ] && kill -0 "$(cat "$1.pid")" 2>/dev/null; }

kubeconfig() {
  cat <<YAML
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "$1", certificate-authority: serving.crt}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: local, context: {cluster: local, user: admin, namespace: default}}]
current-context: local
YAML
}

wait_until_ready() {
  for _ in $(seq 240); do
    runs etcd && runs apiserver || break
    curl -s --max-time 20 --cacert serving.crt -H 'Authorization: Bearer admin-token' "$1/readyz" 2>/dev/null |
      grep -q '^ok' && return
    sleep 0.25
  done
  tail -n 5 apiserver.log >&2
  return 1
}

stop() {
  local name
  for name in manager apiserver etcd; do
    [ -f "$1/$name.pid" ] || continue
    kill "$(cat "$1/$name.pid")" 2>/dev/null || true
    rm -f "$1/$name.pid"
  done
}

"${1:?build, start or stop}" "${@:2}"
