# What a stream of one-time names, and one of names that do not exist, do to the hits of a small cache.

bound_mib=64
hot=1000
kept=100000

# counter NAME: of the daemon, now.
counter() {
  local before
  before=$(wc -l <"$work/mxwayd.log")
  kill -USR1 "${pids[mxwayd]}"
  # The last of the list says that all are there.
  wait_for mxwayd eval "tail -n +$((before + 1)) '$work/mxwayd.log' | grep -q ' cache-expirations '"
  tail -n +$((before + 1)) "$work/mxwayd.log" | sed -n "s/.* $1 \([0-9]*\)$/\1/p"
}

# scan: half of the questions are for the hot names, each of the others for a new one, until `streamed` came.
scan() {
  local seed=1 requests hits
  requests=$(counter requests)
  hits=$(counter hits)
  while [[ $(($(counter requests) - requests)) -lt $((2 * streamed)) ]]; do
    measure "scan-$seed" --repeats 0 --seed "$seed" -s "mxway:$work/mxwayd.sock,pid=${pids[mxwayd]}" -c 4 -q 64 -T 1 -t 10 \
      --gen "uniform:n=$hot,new=0.5" -l "$seconds" --runs 1 --warm-up 0
    seed=$((seed + 1))
  done
  rows+=("scan=$(($(counter requests) - requests))=$(($(counter hits) - hits))=$(counter cache-evictions)")
}

# flood: names that do not exist, beside domains that were there before; then how many of those are still there.
flood() {
  local hits
  awk -v n="$kept" 'BEGIN { for (i = 0; i < n; i++) printf "d%d.bench.test\n", i }' >"$work/names"
  ask_all "mxway:$work/mxwayd.sock"
  awk -v n="$streamed" 'BEGIN { for (i = 0; i < n; i++) printf "n%d.bench.test\n", i }' >"$work/names"
  ask_all "mxway:$work/mxwayd.sock"
  awk -v n="$kept" 'BEGIN { for (i = 0; i < n; i++) printf "d%d.bench.test\n", i }' >"$work/names"
  hits=$(counter hits)
  ask_all "mxway:$work/mxwayd.sock,cache-only"
  rows+=("flood=$kept=$(($(counter hits) - hits))=$(counter cache-denied-evictions)")
}

run_scenario() {
  rows=()
  streamed=${names:-5000000}
  [[ -z $names && -z $quick ]] || bound_mib=8
  [[ -z $quick ]] || streamed=200000 kept=20000
  local before
  start_upstream --ttl 86400 --all-share
  start_mxwayd mxwayd "cache-size=${bound_mib}MiB" max-queries=4096 log-level=notice
  before=$(rss_kib mxwayd)
  say "$streamed one-time names, and as many questions for $hot hot ones; the cache has $bound_mib MiB"
  scan
  say "$streamed names that do not exist, beside $kept domains"
  flood
  table scan "$bound_mib" "$before" "$(rss_kib mxwayd)" "${rows[@]}" | tee "$out/scan.txt"
}
