#!/usr/bin/env bash
# The one command: makes sure that what the tests need is there, then format, lints, docs, all tests, a gate on what a
# request takes, and two soaks.
#
#   ./test.sh          everything
#   ./test.sh NAME     the tests whose names contain NAME
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

# The binaries that tests start for themselves, and the Debian packages that have them.
has_postgres() { command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
missing=()
has_postgres || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v prometheus >/dev/null || missing+=(prometheus)
command -v valgrind >/dev/null || missing+=(valgrind)
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)

# Installs without starting anything: the tests start their own servers.
install() {
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ((${#missing[@]})); then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say "installing ${missing[*]}"
    install "${missing[@]}"
  else
    echo "The tests start PostgreSQL, Redis, Prometheus, Chromium and valgrind from installed binaries. Missing: ${missing[*]}" >&2
    echo "Debian, Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi

for component in fmt clippy; do
  cargo "$component" --version >/dev/null 2>&1 || { echo "cargo $component is missing: rustup component add rustfmt clippy" >&2; exit 1; }
done

if (($#)); then
  exec cargo test --locked "$@"
fi

say "format"
cargo fmt --all --check
say "lints"
cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
say "docs"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items --quiet
say "tests"
cargo test --locked --workspace
say "model checkers"
verify/run
say "what a request takes"
bench/gate
say "containers, rules and scripts"
.ci/containers
say "soak"
cargo run --locked --quiet -p chaos -- --for 20s
say "replicas"
cargo build --locked --quiet -p stampede -p chaos
cargo run --locked --quiet -p chaos -- replicas --operations 5000
say "all is well"
