# Domains that nobody has asked for yet, with all addresses of their exchanges: so many lookups outstanding, whoever asks.
# Rounds of one run each, in turns; a round has a mxwayd and an unbound of its own, which know nothing at first.

connections=4
outstanding=1000

# plain FILE COUNT: a program that uses c-ares itself, for as many names.
plain() {
  awk -v n="$2" 'BEGIN { for (i = 0; i < n; i++) printf "u-plain-%d.bench.test\n", i }' |
    "${on_server[@]}" "$plain_program" -s "$upstream" -q "$outstanding" - | tee "$1"
}

# one NAME TARGET: one server, and the upstream queries it cost.
one() {
  local name=$1 before after
  before=$(upstream_total)
  # No warm-up and one run: what was asked once is no miss any more.
  measure "$name" --repeats 0 -s "$2" -c "$connections" -q $((outstanding / connections)) -T 1 --gen "uniform:n=1,new=1" \
    -l "$seconds" --runs 1 --warm-up 0
  after=$(upstream_total)
  sessions+=("$name=$out/$name.json=$((after - before))")
}

# one_round NUMBER COUNT
one_round() {
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096
  start_mxwayd exchanges "cache-size=$(cache_mib)MiB" max-queries=4096
  start_unbound
  plain "$out/plain-cares-$1.txt" "$2"
  sessions+=("$out/plain-cares-$1.txt")
  one "mxway-addresses-$1" "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}"
  one "mxway-exchanges-$1" "mxway:$work/exchanges.sock,pid=${pids[exchanges]}"
  one "unbound-full-$1" "dns:$unbound,full,pid=${pids[unbound]}"
  stop unbound; stop exchanges; stop mxwayd
}

run_scenario() {
  names=${names:-100000}
  sessions=()
  local count=$names round
  [[ -z $quick ]] || count=20000
  start_upstream --ttl 86400
  say "$outstanding lookups outstanding: c-ares alone, $count domains, then mxwayd and unbound, $seconds s each; $runs times"
  for ((round = 1; round <= runs; round++)); do
    one_round "$round" "$count"
  done
  table miss "${sessions[@]}" | tee "$out/miss.txt"
}
