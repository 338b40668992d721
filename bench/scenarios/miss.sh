# Domains that nobody has asked for yet, with all addresses of their exchanges.

# plain COUNT: a program that uses c-ares itself, for as many names.
plain() {
  awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "u-plain-%d.bench.test\n", i }' |
    "${on_server[@]}" "$plain_program" -s "$upstream" -q "$outstanding" - | tee "$out/plain-cares.txt"
}

# one NAME TARGET: one server, and the upstream queries it cost.
one() {
  local name=$1 before after
  before=$(upstream_total)
  # No warm-up and one run: what was asked once is no miss any more.
  measure "$name" --repeats 0 -s "$2" -c 1 -q "$outstanding" -T 1 --gen "uniform:n=1,new=1" -l "$seconds" --runs 1 --warm-up 0
  after=$(upstream_total)
  sessions+=("$name=$out/$name.json=$((after - before))")
}

run_scenario() {
  outstanding=1000
  names=${names:-100000}
  sessions=()
  local count=$names
  [[ -z $quick ]] || count=10000
  start_upstream --ttl 86400
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096
  start_mxwayd exchanges "cache-size=$(cache_mib)MiB" max-queries=4096
  start_unbound
  say "c-ares alone, $count domains, $outstanding at a time"
  plain "$count"
  say "mxwayd and unbound, $seconds s each"
  one mxway-addresses "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}"
  one mxway-exchanges "mxway:$work/exchanges.sock,pid=${pids[exchanges]}"
  one unbound-full "dns:$unbound,full,pid=${pids[unbound]}"
  table miss "$out/plain-cares.txt" "${sessions[@]}"
}
