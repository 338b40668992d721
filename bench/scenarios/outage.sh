# How long hits take while the DNS stops and comes back. The upstream is stopped with SIGSTOP: it is silent, its port open.

rate=20000
miss_rate=500

run_scenario() {
  local third=$seconds status=0 misses
  names=${names:-100000}
  [[ -z $quick ]] || names=10000
  write_names
  start_upstream --ttl 86400
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096
  say "$names domains: asking each once"
  ask_all "mxway:$work/mxwayd.sock,depth=addresses"
  say "$rate hits/s and $miss_rate misses/s: $third s as usual, $third s without DNS, $third s after it"
  measure misses --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses" -c 1 -q 16384 -T 1 -Q "$miss_rate" -t 10 \
    --gen "uniform:n=1,new=1" -l $((3 * third)) --runs 1 --warm-up 0 &
  misses=$!
  measure hits --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}" -c 16 -q 64 -T 1 -Q "$rate" \
    --gen "zipf:s=1.0,n=$names" -l $((3 * third)) --runs 1 --warm-up 0 &
  local hits=$!
  sleep "$third"
  kill -STOP "${pids[upstream]}"
  sleep "$third"
  kill -CONT "${pids[upstream]}"
  wait "$hits" || status=1
  wait "$misses" || status=1
  [[ $status == 0 ]] || fail 1 "mxway-bench failed"
  table outage "$third" "hits=$out/hits.json" "misses=$out/misses.json" | tee "$out/outage.txt"
  if "$mxwayd" --help | grep -q '^  redis:'; then
    fail 1 "mxwayd has the option redis, but this scenario does not stop Redis yet"
  fi
  say "SKIPPED: Redis. This mxwayd has no option 'redis' yet, so there is nothing of it to stop"
}
