# The shared store: what its outages do to hits and to memory, and what a miss costs that it answers. Three parts, each with
# servers of its own; the ways in which redis-server fails are in store_outages.sh.

rate=20000
miss_rate=500

# shellcheck source=bench/scenarios/store_outages.sh
source bench/scenarios/store_outages.sh

# is_store_up NAME: whether the mxwayd of that name has its store.
is_store_up() { "$mxway" stats --json --socket "$work/$1.control" | grep -q '"state":"up"'; }

# measure_misses NAME SEED
measure_misses() {
  local on_client=("${beside[@]}")
  measure "$1" --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses" -c 1 -q 4096 -T 1 -Q "$miss_rate" -t 10 \
    --gen "uniform:n=1,new=1" --seed "$2" -l "$seconds" --runs 1 --warm-up 0
}

# hits NAME SEED: hits in an open loop, and beside them misses, each of which is a read, a lease and a write to the store.
hits() {
  local misses
  measure_misses "$1-misses" "$2" &
  misses=$!
  measure "$1" --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}" -c 16 -q 64 -T 1 -Q "$rate" -S 0.25 \
    --gen "zipf:s=1.0,n=$names" -l "$seconds" --runs 1 --warm-up 0
  wait "$misses" || fail 1 "the misses of '$1' failed"
}

# one_outage KIND ROUND: undisturbed, then with the outage from a tenth to four fifths of the time, by a daemon of its own.
one_outage() {
  local kind=$1 name=$1-$2 measured begin_s end_s
  "set_up_$kind"
  ask_all "mxway:$work/mxwayd.sock,depth=addresses"
  seed=$((seed + 3))
  # Not counted: pages and branches get warm, the store gets its connections.
  seconds=1 hits warm "$seed"
  hits "$name-usual" $((seed + 1))
  ! declare -F "ready_$kind" >/dev/null || "ready_$kind"
  begin_s=$(awk "BEGIN { print $seconds * 0.1 }") end_s=$(awk "BEGIN { print $seconds * 0.7 }")
  hits "$name-outage" $((seed + 2)) &
  measured=$!
  sleep "$begin_s"
  "begin_$kind"
  sleep "$end_s"
  "end_$kind"
  wait "$measured" || fail 1 "measuring '$kind' failed"
  stop_all
  sessions+=("$kind=$out/$name-usual.json=$out/$name-outage.json=$out/$name-outage-misses.json")
}

outages_part() {
  local round kind on_upstream=("${beside[@]}")
  sessions=() names=20000
  [[ -z $quick ]] || names=5000
  write_names
  start_upstream --ttl 86400
  for ((round = 1; round <= runs; round++)); do
    for kind in "${outages[@]}"; do
      say "$rate hits/s and $miss_rate misses/s, $seconds s as usual and $seconds s with redis-server ${outage_texts[$kind]}"
      one_outage "$kind" "$round"
    done
  done
  stop upstream
  table store_outages "${sessions[@]}" | tee "$out/outages.txt"
}

# ---- a miss that the store answers ----

# Fewer than the daemon lets be outstanding at redis-server, so that all misses can be answered from there.
connections=4
outstanding=200

# cold NAME TARGET: each name once, and the upstream queries it cost.
cold() {
  local before
  before=$(upstream_total)
  measure "$1" --repeats 0 -s "$2" -d "$work/names" -n 1 -c "$connections" -q $((outstanding / connections)) -T 1 --runs 1 --warm-up 0
  sessions+=("$1=$out/$1.json=$(($(upstream_total) - before))")
}

# fill_store: all names into redis-server, by a daemon that ends; again until none is missing.
fill_store() {
  local round
  for round in 1 2 3 4 5; do
    start_mxwayd writer "cache-size=$(cache_mib)MiB" "redis=unix:$work/redis.sock" node-name=writer
    ask_all "mxway:$work/writer.sock,depth=addresses" -Q 10000
    sleep 1
    stop writer
    [[ $(redis redis EVAL "local n = 0; for i = 0, $names - 1 do n = n + redis.call('EXISTS', 'mxway:1:d:d' .. i .. '.bench.test') end; return n" 0) == "$names" ]] && return
  done
  fail 1 "redis-server does not hold all $names names after five rounds"
}

misses_part() {
  local round
  sessions=() names=100000
  [[ -z $quick ]] || names=20000
  write_names
  start_upstream --ttl 86400
  start_redis
  say "$names domains into redis-server"
  fill_store
  say "$outstanding lookups outstanding, $names domains: from redis-server, from the DNS, and by unbound; $runs times"
  for ((round = 1; round <= runs; round++)); do
    start_mxwayd shared "cache-size=$(cache_mib)MiB" "redis=unix:$work/redis.sock" node-name=reader max-queries=4096
    wait_for shared is_store_up shared
    start_mxwayd alone "cache-size=$(cache_mib)MiB" max-queries=4096
    start_unbound
    cold "shared-addresses-$round" "mxway:$work/shared.sock,depth=addresses,pid=${pids[shared]}"
    cold "unbound-full-$round" "dns:$unbound,full,pid=${pids[unbound]}"
    cold "alone-addresses-$round" "mxway:$work/alone.sock,depth=addresses,pid=${pids[alone]}"
    stop unbound; stop alone; stop shared
    start_mxwayd shared "cache-size=$(cache_mib)MiB" "redis=unix:$work/redis.sock" node-name=reader max-queries=4096
    wait_for shared is_store_up shared
    start_unbound
    cold "shared-exchanges-$round" "mxway:$work/shared.sock,pid=${pids[shared]}"
    cold "unbound-mx-$round" "dns:$unbound,pid=${pids[unbound]}"
    stop unbound; stop shared
  done
  stop redis; stop upstream
  table store_misses "$names" "${sessions[@]}" | tee "$out/misses.txt"
}

# ---- memory in an outage ----

storm_rate=2000

# watch_memory FILE SECONDS: resident KiB of mxwayd, four times a second.
watch_memory() {
  local until=$((SECONDS + $2))
  : >"$1"
  while [[ $SECONDS -lt $until ]]; do
    rss_kib mxwayd >>"$1"
    sleep 0.25
  done
}

# storm NAME SECONDS: misses at a rate that fills what waits for the store, and memory meanwhile.
storm() {
  seed=$((seed + 1))
  measure "$1" --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses" -c 4 -q 2048 -T 1 -Q "$storm_rate" -t 10 \
    --gen "uniform:n=1,new=1" --seed "$seed" -l "$2" --runs 1 --warm-up 0 &
  local stormed=$!
  watch_memory "$out/$1.rss" "$2"
  wait "$stormed" || fail 1 "the storm '$1' failed"
}

memory_part() {
  local outage_s=60 round
  memory=()
  [[ -z $quick ]] || outage_s=10
  start_upstream --ttl 86400
  for ((round = 1; round <= runs; round++)); do
    start_redis
    start_mxwayd mxwayd cache-size=16MiB max-queries=4096 "redis=unix:$work/redis.sock" node-name=bench
    say "$storm_rate misses/s: until memory is full, then $outage_s s as usual and $outage_s s with redis-server stopped"
    ask_new "mxway:$work/mxwayd.sock,depth=addresses" 400000
    storm "memory-warm-$round" 5
    storm "memory-usual-$round" "$outage_s"
    kill -STOP "${pids[redis]}"
    storm "memory-outage-$round" "$outage_s"
    kill -CONT "${pids[redis]}"
    storm "memory-after-$round" 10
    memory+=("$out/memory-warm-$round.rss=$out/memory-usual-$round.rss=$out/memory-outage-$round.rss=$out/memory-after-$round.rss")
    stop mxwayd; stop redis
  done
  stop upstream
  table store_memory "${memory[@]}" | tee "$out/memory.txt"
}

# ask_new TARGET COUNT: so many names that nobody has asked for, once, as fast as they are answered.
ask_new() {
  awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++) printf "ufill-%d.bench.test\n", i }' >"$work/new-names"
  "${on_client[@]}" "$bench_program" -s "$1" -d "$work/new-names" -n 1 --repeats 0 -c 4 -q 250 -t 10 -o json >"$work/fill.json" ||
    fail 1 "cannot fill memory"
}

# Those that --outages names, in the place of all.
choose_outages() {
  local kind
  IFS=, read -r -a outages <<<"$only_outages"
  for kind in "${outages[@]}"; do
    [[ -n ${outage_texts[$kind]:-} ]] || fail 64 "--outages: '$kind' is none of ${!outage_texts[*]}"
  done
}

run_scenario() {
  seed=$RANDOM beside=("${yielding[@]}" "${on_client[@]}")
  [[ -z $only_outages ]] || choose_outages
  outages_part
  [[ -z $only_outages ]] || return 0
  misses_part
  memory_part
}
