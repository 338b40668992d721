# Resident memory that a domain costs, once it has been asked.

# grow TITLE NAME TARGET: how much the process NAME grows by asking TARGET for all names.
grow() {
  local before after
  sleep 0.5
  before=$(rss_kib "$2")
  ask_all "$3" "${@:4}"
  sleep 0.5
  after=$(rss_kib "$2")
  rows+=("$1=$before=$after")
}

run_scenario() {
  rows=()
  names=${names:-1000000}
  [[ -z $quick ]] || names=20000
  write_names
  start_upstream --ttl 86400 --all-share
  start_mxwayd exchanges "cache-size=$(cache_mib)MiB" max-queries=4096
  start_mxwayd addresses "cache-size=$(cache_mib)MiB" max-queries=4096
  start_redis
  say "$names domains on 5000 exchange sets, each asked once"
  grow "mxwayd, exchanges" exchanges "mxway:$work/exchanges.sock"
  grow "mxwayd, with addresses" addresses "mxway:$work/addresses.sock,depth=addresses"
  start_unbound
  grow "unbound, MX" unbound "dns:$unbound"
  stop unbound
  start_unbound
  grow "unbound, MX + A + AAAA" unbound "dns:$unbound,full"
  # The store is filled with values as long as mxwayd's replies; what they measure in passing is of no account.
  grow "Redis, replies as values" redis "redis:$work/redis.sock" -s "mxway:$work/exchanges.sock"
  stop upstream
  start_upstream --ttl 86400
  start_mxwayd mixed "cache-size=$(cache_mib)MiB" max-queries=4096
  grow "mxwayd, exchanges; a third share no set" mixed "mxway:$work/mixed.sock"
  table memory "$names" "${rows[@]}" | tee "$out/memory.txt"
}
