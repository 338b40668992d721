# Lookups answered from memory. Every server has been asked every name before.

# one_size: servers of their own for each number of names, so that no cache is shared with another size.
one_size() {
  local outstanding before after
  write_names
  start_upstream --ttl 86400
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096
  start_unbound
  start_redis
  say "$names domains: asking each once"
  ask_all "mxway:$work/mxwayd.sock,depth=addresses"
  ask_all "dns:$unbound"
  before=$(upstream_total)
  for outstanding in "${depths[@]}"; do
    say "$names domains, $connections connections x $outstanding outstanding"
    measure "$names-${connections}x$outstanding" -c "$connections" -q "$outstanding" -T 1 --gen "zipf:s=1.0,n=$names" \
      -l "$seconds" --runs "$runs" --repeats "$repeats" --warm-up 1 \
      -s "mxway:$work/mxwayd.sock,pid=${pids[mxwayd]},name=mxway" \
      -s "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]},name=mxway with addresses" \
      -s "null,name=null (bare socket)" \
      -s "redis:$work/redis.sock,pid=${pids[redis]},name=Redis GET" \
      -s "dns:$unbound,pid=${pids[unbound]},name=unbound MX"
    sessions+=("$names domains, ${connections} x $outstanding=$out/$names-${connections}x$outstanding.json")
  done
  after=$(upstream_total)
  [[ $after == "$before" ]] || say "note: $((after - before)) upstream queries while measuring: not all were hits"
  stop redis; stop unbound; stop mxwayd; stop upstream
}

run_scenario() {
  local sizes=(100000 1000000)
  connections=64
  depths=(64 1)
  sessions=()
  if [[ -n $names ]]; then sizes=("$names"); elif [[ -n $quick ]]; then sizes=(10000); fi
  for names in "${sizes[@]}"; do
    one_size
  done
  table ratios "${sessions[@]}"
}
