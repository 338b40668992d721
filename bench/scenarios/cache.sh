# The daemon's cache alone: octets a domain, the longest put, a lookup one at a time and in batches.

run_scenario() {
  local count
  for count in ${names:-100000 1000000}; do
    [[ -z $quick ]] || count=20000
    say "$count domains on 5000 sets, in this process alone"
    "${on_server[@]}" "$cache_program" "$count" "$((64 + count / 512))" >"$out/full-$count.json"
    "${on_server[@]}" "$cache_program" "$count" "$((1 + count / 16384))" >"$out/narrow-$count.json"
    table cache "all fit=$out/full-$count.json" "with evictions=$out/narrow-$count.json" | tee "$out/cache-$count.txt"
    [[ -z $quick ]] || break
  done
}
