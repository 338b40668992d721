# 10,000 questions at once for one cold name, whose answer takes the upstream 200 ms.

waiters=10000

# herd TITLE TARGET DOMAIN: the domains below have one exchange of their own each, with A and most with AAAA.
herd() {
  local before after
  awk -v n="$waiters" -v name="$3" 'BEGIN { for (i = 0; i < n; i++) print name }' >"$work/herd"
  before=$(upstream_total)
  measure "$1" --repeats 0 -s "$2" -d "$work/herd" -n 1 -c 100 -q $((waiters / 100)) -T 1 -t 10 --runs 1 --warm-up 0
  after=$(upstream_total)
  sessions+=("$1=$out/$1.json=$((after - before))")
}

run_scenario() {
  sessions=()
  names=${names:-1000}
  start_upstream --ttl 86400 --delay 200
  start_mxwayd mxwayd max-queries=4096
  start_unbound
  say "$waiters questions at once for one cold name"
  herd mxway-exchanges "mxway:$work/mxwayd.sock,pid=${pids[mxwayd]}" u-herd-8.bench.test
  herd mxway-addresses "mxway:$work/mxwayd.sock,depth=addresses,pid=${pids[mxwayd]}" u-herd-11.bench.test
  herd unbound-mx "dns:$unbound,pid=${pids[unbound]}" u-herd-22.bench.test
  herd unbound-full "dns:$unbound,full,pid=${pids[unbound]}" u-herd-29.bench.test
  say "c-ares alone"
  awk -v n="$waiters" 'BEGIN { for (i = 0; i < n; i++) print "u-herd-9.bench.test" }' |
    "${on_server[@]}" "$plain_program" -s "$upstream" -q "$waiters" - | tee "$out/plain-cares.txt"
  table herd "$out/plain-cares.txt" "${sessions[@]}" | tee "$out/herd.txt"
}
