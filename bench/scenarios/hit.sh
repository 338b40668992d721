# Lookups answered from memory. Every server has been asked every name before.

# one_size: servers of their own for each number of names, so that no cache is shared with another size.
one_size() {
  local outstanding name before after
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
    name=$names-$law-${connections}x$outstanding
    say "$names domains, $law, $connections connections x $outstanding outstanding"
    # A null server and Redis answer as many octets as the mxway target before them.
    measure "$name" -c "$connections" -q "$outstanding" -T 1 --gen "$law:n=$names" \
      -l "$seconds" --runs "$runs" --repeats "$repeats" --warm-up "$warm_up" \
      -s "mxway:$work/mxwayd.sock,pid=${pids[mxwayd]},name=mxway" \
      -s "null,name=null (bare socket)" \
      -s "redis:$work/redis.sock,pid=${pids[redis]},name=Redis GET" \
      -s "dns:$unbound,pid=${pids[unbound]},name=unbound MX" \
      -s "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]},name=mxway with addresses" \
      -s "null,name=null as long as with addresses"
    sessions+=("$names domains, $law, ${connections} x $outstanding=$out/$name.json")
  done
  after=$(upstream_total)
  [[ $after == "$before" ]] || say "note: $((after - before)) upstream queries while measuring: not all were hits"
  stop redis; stop unbound; stop mxwayd; stop upstream
}

run_scenario() {
  local sizes=(100000 1000000) warm_up=1
  [[ -z $quick ]] || warm_up=0.3
  connections=64
  depths=(64 1)
  sessions=()
  if [[ -n $names ]]; then sizes=("$names"); elif [[ -n $quick ]]; then sizes=(10000); fi
  for names in "${sizes[@]}"; do
    one_size
  done
  table ratios "${sessions[@]}"
}
