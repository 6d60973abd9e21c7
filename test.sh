#!/usr/bin/env bash
# Checks everything that must hold.
#
#   ./test.sh          format, lints, docs, all tests: about six minutes on two cores, builds included
#   ./test.sh --all    and the model checkers, what a request takes, the containers' files, the dependencies, two soaks:
#                      twice as long
#   ./test.sh NAME     the tests whose names contain NAME
set -euo pipefail
cd "$(dirname "$0")"

all=
if [[ "${1:-}" == --all ]]; then all=1; shift; fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=
cleanup() {
  rm -f "$log"
  if [[ $ours ]]; then rm -f "$policy"; fi
}
trap cleanup EXIT

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

# What the tests start for themselves, and the Debian packages that have it.
has() { command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]]; }
has_postgres() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
missing=()
has_postgres || missing+=(postgresql)
has mariadbd || missing+=(mariadb-server)
has redis-server || missing+=(redis-server)
has prometheus || missing+=(prometheus)
has haproxy || missing+=(haproxy)
has chromium || missing+=(chromium)
has chromedriver || missing+=(chromium-driver)
if [[ $all ]]; then has valgrind || missing+=(valgrind); fi

# Installs without starting anything: the tests start their own servers.
install() {
  if [[ ! -e $policy ]]; then
    ours=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ((${#missing[@]})); then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say "installing ${missing[*]} (a minute or two)"
    install "${missing[@]}"
  else
    echo "The tests start servers and a browser from installed binaries. Missing: ${missing[*]}" >&2
    echo "Debian, Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi

for component in fmt clippy; do
  cargo "$component" --version >/dev/null 2>&1 || { echo "cargo $component is missing: rustup component add rustfmt clippy" >&2; exit 1; }
done

# Tests wait for servers and clocks more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}

if (($#)); then
  exec cargo test --locked "$@"
fi

say "everything is built first; on two cores all of this takes about $([[ $all ]] && echo 15 || echo 6) minutes"
say "format"
cargo fmt --all --check
say "lints"
cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
say "docs"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items --quiet
say "tests"
cargo test --locked --workspace 2>&1 | tee "$log"

if [[ $all ]]; then
  # The whole of the tests has run on PostgreSQL; these are the ones of which the kind of database makes no difference.
  for database in mysql sqlite; do
    say "the service on $database"
    TEST_DATABASE=$database cargo test --locked --quiet --test api -- read_path:: refresh:: faults::callers:: faults::redis:: faults::gone::
  done
  say "model checkers"
  tools/verify/run
  say "what a request takes"
  tools/bench/gate
  say "containers, rules and scripts"
  .ci/containers
  say "dependencies"
  .ci/dependencies
  # With the tests' features, so that nothing is built twice.
  cargo build --locked --quiet --workspace --all-targets
  say "soak"
  target/debug/chaos --for 20s
  say "replicas"
  target/debug/chaos replicas --operations 3000
  target/debug/chaos replicas --operations 3000 --rate 300 --database mysql
  target/debug/chaos replicas --operations 3000 --with FLEET_LEASE=true --with EARLY_REFRESH=1
fi

# passed FILE-NAME: how many tests of the binaries whose names begin so have passed.
passed() {
  sed -nE "/^ +(Running|Doc-tests) /h; /^test result/{G; s/^test result: ok\. ([0-9]+) passed.*\n *(.*)/\1 \2/p}" "$log" |
    awk -v name="$1" '$0 ~ name {sum += $1} END {print sum + 0}'
}
say "all is well in $((SECONDS / 60)) min $((SECONDS % 60)) s"
printf '%5s tests of the whole service, on real servers\n' "$(passed tests/api)"
printf '%5s tests of its parts\n' "$(passed 'src/(lib|main).rs.*deps/stampede')"
printf '%5s tests of the tools\n' "$(passed '(bench|gate|chaos|hello|works)-')"
printf '%5s examples in the docs\n' "$(passed Doc-tests)"
