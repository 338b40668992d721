# How long hits take while the DNS stops and comes back, and then while the shared store does. Either is stopped with SIGSTOP: it
# is silent, its port or socket open.

rate=20000
miss_rate=500

# through TITLE NAME SECONDS: hits and misses for three thirds; NAME is stopped in the second.
through() {
  local title=$1 stopped=$2 third=$3 misses hits status=0
  seed=$((seed + 1))
  say "$rate hits/s and $miss_rate misses/s: $third s as usual, $third s without $title, $third s after it"
  measure "$stopped-misses" --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses" -c 1 -q 16384 -T 1 -Q "$miss_rate" -t 10 \
    --gen "uniform:n=1,new=1" --seed "$seed" -l $((3 * third)) --runs 1 --warm-up 0 &
  misses=$!
  measure "$stopped-hits" --repeats 0 -s "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}" -c 16 -q 64 -T 1 -Q "$rate" \
    --gen "zipf:s=1.0,n=$names" -l $((3 * third)) --runs 1 --warm-up 0 &
  hits=$!
  sleep "$third"
  kill -STOP "${pids[$stopped]}"
  sleep "$third"
  kill -CONT "${pids[$stopped]}"
  wait "$hits" || status=1
  wait "$misses" || status=1
  [[ $status == 0 ]] || fail 1 "mxway-bench failed"
  table outage "$third" "$title" "hits=$out/$stopped-hits.json" "misses=$out/$stopped-misses.json" | tee "$out/outage-$stopped.txt"
}

run_scenario() {
  seed=$RANDOM
  names=${names:-100000}
  [[ -z $quick ]] || names=10000
  write_names
  start_upstream --ttl 86400
  start_redis
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096 "redis=unix:$work/redis.sock"
  say "$names domains: asking each once"
  ask_all "mxway:$work/mxwayd.sock,depth=addresses"
  through DNS upstream "$seconds"
  through Redis redis "$seconds"
}
