# What the scenarios share: installing, building, and servers that end with the script. Sourced by bench/run.

packages=(build-essential cmake ninja-build pkg-config libev-dev libc-ares-dev libprotobuf-c-dev
  protobuf-c-compiler protobuf-compiler libcmocka-dev libxxhash-dev libidn2-dev libconfuse-dev libjansson-dev
  libhiredis-dev libsodium-dev libssl-dev
  scdoc python3 util-linux redis-server unbound)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '==> %s\n' "$*"; }

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Debian starts a server when its package is installed; here only ours are to run.
forbid_services() {
  [[ ! -e /usr/sbin/policy-rc.d ]] || return 0
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

install_packages() {
  local missing=() package
  [[ $install == yes ]] && command -v dpkg-query >/dev/null || return 0
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $(id -u) == 0 ]] || fail 69 "not installed: ${missing[*]}
  as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  mkdir -p build/log
  forbid_services
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } >build/log/apt 2>&1 ||
    { tail -n 20 build/log/apt >&2; fail 69 "apt-get failed; see build/log/apt"; }
  [[ -z $policy ]] || rm -f "$policy"
  policy=
}

build() {
  [[ -z ${MXWAY_BUILD:-} ]] || return 0
  say "building build/release"
  mkdir -p build/log
  { cmake --preset release && cmake --build --preset release -j "$(nproc)"; } >build/log/bench 2>&1 ||
    { tail -n 40 build/log/bench >&2; fail 1 "the build failed; see build/log/bench"; }
}

# ---- processes ----

declare -A pids=()
policy=
work=

clean_up() {
  trap - EXIT
  local name
  for name in "${!pids[@]}"; do
    stop "$name"
  done
  [[ -z $policy ]] || rm -f "$policy"
  [[ -z $work ]] || rm -rf "$work"
}

# stop NAME: ends a server by its pid; one that was stopped by a signal is woken for it.
stop() {
  local pid=${pids[$1]:-}
  [[ -n $pid ]] || return 0
  unset "pids[$1]"
  kill -CONT "$pid" 2>/dev/null || true
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# Servers have the first core, the client and the simulated upstream the second, where there are two.
on_server=()
on_client=()
on_upstream=()
pin=()
choose_cores() {
  command -v taskset >/dev/null && [[ $(nproc) -gt 1 ]] || return 0
  on_server=(taskset -c 0)
  on_client=(taskset -c 1)
  on_upstream=(taskset -c 1)
  pin=(--pin server=0,client=1)
}

# Before a command: it runs where nothing else wants its core, as if it had another (SCHED_IDLE, children included).
yielding=()
choose_yielding() {
  command -v chrt >/dev/null && chrt --idle 0 true 2>/dev/null && yielding=(chrt --idle 0)
}

# start NAME COMMAND...: in the background, with its output in $work/NAME.log
start() {
  local name=$1
  shift
  # At once: whoever waits for a line in it is not to find that of the server before.
  : >"$work/$name.log"
  "$@" </dev/null >>"$work/$name.log" 2>&1 &
  pids[$name]=$!
}

# wait_for NAME CONDITION...: until the condition holds, while the server lives.
wait_for() {
  local name=$1 deadline=$((SECONDS + 30))
  shift
  until "$@" 2>/dev/null; do
    kill -0 "${pids[$name]}" 2>/dev/null || { cat "$work/$name.log" >&2; fail 1 "$name has ended"; }
    [[ $SECONDS -lt $deadline ]] || { cat "$work/$name.log" >&2; fail 1 "$name is not ready within 30 s"; }
    sleep 0.05
  done
}

rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/${pids[$1]}/status"; }

# ---- servers ----

# start_upstream [OPTION...]: sets upstream=ADDRESS:PORT.
start_upstream() {
  start upstream "${on_upstream[@]}" "$upstream_program" "$@"
  wait_for upstream grep -q '^listening on ' "$work/upstream.log"
  upstream=$(sed -n 's/^listening on //p' "$work/upstream.log")
}

# upstream_counters: all counters of now as "NAME VALUE" lines.
upstream_counters() {
  local before
  before=$(wc -l <"$work/upstream.log")
  kill -USR1 "${pids[upstream]}"
  # The last of the list says that all are there.
  wait_for upstream eval "tail -n +$((before + 1)) '$work/upstream.log' | grep -q '^counter lost '"
  tail -n +$((before + 1)) "$work/upstream.log" | sed -n 's/^counter //p'
}
upstream_total() { upstream_counters | sed -n 's/^total //p'; }

# start_mxwayd NAME [OPTION=VALUE...]: its sockets are $work/NAME.sock and $work/NAME.control.
start_mxwayd() {
  local name=$1 option options=()
  shift
  for option in "$@"; do
    options+=(-o "$option")
  done
  : >"$work/empty.conf"
  start "$name" "${on_server[@]}" "$mxwayd" -c "$work/empty.conf" -o "listen=$work/$name.sock" -o "control=$work/$name.control" -o "upstream=$upstream" \
    -o log-level=warning "${options[@]}"
  wait_for "$name" test -S "$work/$name.sock"
}

# mxwayd takes all that the scenario's domains need and never evicts.
cache_mib() { echo $((64 + names / 512)); }

# start_unbound: sets unbound=ADDRESS:PORT. One thread, no validation, and room for all.
start_unbound() {
  local port=$((20000 + RANDOM % 10000)) room=$((64 + names / 256))
  mkdir -p "$work/unbound"
  cat >"$work/unbound/unbound.conf" <<CONF
server:
  interface: 127.0.0.1
  port: $port
  access-control: 127.0.0.0/8 allow
  num-threads: 1
  num-queries-per-thread: 16384
  outgoing-range: 8192
  so-rcvbuf: 8m
  so-sndbuf: 8m
  msg-cache-size: ${room}m
  rrset-cache-size: $((room * 2))m
  cache-min-ttl: 0
  cache-max-ttl: 86400
  infra-cache-min-rtt: 200
  edns-buffer-size: 1232
  minimal-responses: yes
  module-config: "iterator"
  qname-minimisation: no
  aggressive-nsec: no
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  hide-version: yes
  local-zone: "test." nodefault
  username: ""
  chroot: ""
  directory: "$work/unbound"
  pidfile: "$work/unbound/unbound.pid"
  use-syslog: no
  verbosity: 1
remote-control:
  control-enable: no
forward-zone:
  name: "bench.test"
  forward-addr: ${upstream/:/@}
CONF
  # Newer ones limit how many questions of one address wait, which is no part of what is compared here.
  local option
  for option in wait-limit wait-limit-cookie; do
    printf 'server:\n  %s: 0\n' "$option" >"$work/unbound/try.conf"
    if unbound-checkconf "$work/unbound/try.conf" >/dev/null 2>&1; then
      cat "$work/unbound/try.conf" >>"$work/unbound/unbound.conf"
    fi
  done
  start unbound "${on_server[@]}" unbound -d -c "$work/unbound/unbound.conf"
  wait_for unbound grep -q 'start of service' "$work/unbound.log"
  unbound=127.0.0.1:$port
}

start_redis() {
  start redis "${on_server[@]}" redis-server --port 0 --unixsocket "$work/redis.sock" --save '' --appendonly no \
    --dir "$work" --daemonize no
  wait_for redis test -S "$work/redis.sock"
}

# ---- measuring ----

# measure NAME OPTION...: mxway-bench, its page, JSON and .hgrm to $out/NAME.*; the length is the caller's.
measure() {
  local name=$1
  shift
  "${on_client[@]}" "$bench_program" "${pin[@]}" --hold-idle -S 1 --html "$out/$name.html" --hgrm "$out/$name.hgrm" \
    -o json "$@" >"$out/$name.json" || { tail -n 3 "$out/$name.json" >&2; fail 1 "mxway-bench failed in '$name'"; }
}

# ask_all TARGET [OPTION...]: every name of $work/names once.
ask_all() {
  local target=$1
  shift
  "${on_client[@]}" "$bench_program" -s "$target" -d "$work/names" -n 1 --repeats 0 -c 4 -q 64 -t 10 -o json "$@" \
    >"$work/warm-up.json" || { tail -n 3 "$work/warm-up.json" >&2; fail 1 "cannot warm up $target"; }
}

write_names() { awk -v n="$names" 'BEGIN { for (i = 0; i < n; i++) printf "d%d.bench.test\n", i }' >"$work/names"; }

table() { python3 -B bench/scenarios/table.py "$@"; }

prepare() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  install_packages
  build
  local programs=${MXWAY_BUILD:-build/release} program
  mxwayd=$programs/daemon/mxwayd
  mxway=$programs/client/mxway
  bench_program=$programs/bench/mxway-bench
  upstream_program=$programs/bench/upstream/mxway-upstream
  plain_program=$programs/bench/upstream/mxway-plain-cares
  cache_program=$programs/bench/mxway-bench-cache
  hit_program=$programs/bench/mxway-bench-hit
  for program in "$mxwayd" "$mxway" "$bench_program" "$upstream_program" "$plain_program" "$cache_program" "$hit_program"; do
    [[ -x $program ]] || fail 69 "there is no $program"
  done
  out=build/bench/$scenario
  mkdir -p "$out"
  # Short, because the path of a Unix socket holds 107 octets at most.
  work=$(mktemp -d "${TMPDIR:-/tmp}/mxway-bench-XXXXXX")
  choose_cores
  choose_yielding || true
}
