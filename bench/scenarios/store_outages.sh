# The ways in which redis-server can fail a running mxwayd. Each has set_up_KIND, which starts redis-servers and mxwayd, and
# begin_KIND and end_KIND for the outage; some have ready_KIND, between what is measured as usual and the outage. Sourced by store.sh.

outages=(none killed frozen late stalled replica roles full evicting failover slots warming)
declare -A outage_texts=(
  [none]="left alone, which shows how much two measurements differ by themselves"
  [killed]="killed and started again"
  [frozen]="stopped (SIGSTOP)"
  [late]="50 ms late with each reply"
  [stalled]="behind a way that stalls"
  [replica]="turned into a replica that takes no writes"
  [roles]="and its replica changing roles"
  [full]="full, evicting nothing"
  [evicting]="full, evicting all the time"
  [failover]="killed, and sentinels making its replica the master"
  [slots]="being a cluster whose slots move"
  [warming]="well, and mxwayd filling its memory from there (redis-warm-start = 2000)"
)
declare -A ports=()

# free_port: one of 127.0.0.1 whose neighbour for a cluster's bus is free too.
free_port() {
  python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(12000, 32000)
    with socket.socket() as one, socket.socket() as other:
        try:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10000))
            print(port)
            break
        except OSError:
            pass
PYTHON
}

# Before a command: on the core of the client that measures hits, where that has nothing to do. What has cores elsewhere in a
# cluster (redis-servers and their children, which copy all they hold; DNS servers; who asks for what is not known) takes none of
# the time of mxwayd or of that client.
beside=()

# server NAME [OPTION VALUE]...: a redis-server on $work/NAME.sock and on loopback.
server() {
  local name=$1
  shift
  [[ -n ${ports[$name]:-} ]] || ports[$name]=$(free_port)
  mkdir -p "$work/$name.d"
  start "$name" "${beside[@]}" redis-server --bind 127.0.0.1 --port "${ports[$name]}" --unixsocket "$work/$name.sock" \
    --save '' --appendonly no --dir "$work/$name.d" --daemonize no --repl-diskless-sync-delay 0 "$@"
  wait_for "$name" answers "$name"
}

# redis NAME WORD...: one command.
redis() {
  local name=$1
  shift
  redis-cli -s "$work/$name.sock" "$@"
}

answers() { [[ $(redis "$1" PING) == PONG ]]; }

# sharing OPTION=VALUE...: mxwayd with a store, up.
sharing() {
  start_mxwayd mxwayd "cache-size=$(cache_mib)MiB" max-queries=4096 node-name=bench "$@"
  wait_for mxwayd is_store_up mxwayd
}

stop_all() {
  local name
  for name in "${!pids[@]}"; do
    [[ $name == upstream ]] || stop "$name"
  done
  rm -rf "$work"/*.d "$work"/*.sock
  ports=()
}

# kill_server NAME: kill -9.
kill_server() {
  kill -KILL "${pids[$1]}"
  wait "${pids[$1]}" 2>/dev/null || true
  unset "pids[$1]"
}

set_up_none() { set_up_killed; }
begin_none() { :; }
end_none() { :; }

set_up_killed() { server redis; sharing "redis=unix:$work/redis.sock"; }
begin_killed() { kill_server redis; }
end_killed() { server redis; }

set_up_frozen() { set_up_killed; }
begin_frozen() { kill -STOP "${pids[redis]}"; }
end_frozen() { kill -CONT "${pids[redis]}"; }

# A proxy that is told what to do through a pipe.
set_up_late() {
  server redis
  rm -f "$work/proxy.in"
  mkfifo "$work/proxy.in"
  exec 7<>"$work/proxy.in"
  start proxy "${beside[@]}" bash -c 'exec python3 -B tests/flow/proxy.py "$1" "$2" <"$3"' - "$work/proxy.sock" "$work/redis.sock" \
    "$work/proxy.in"
  wait_for proxy grep -q ready "$work/proxy.log"
  sharing "redis=unix:$work/proxy.sock"
}
begin_late() { echo "delay 0.05" >&7; }
end_late() { echo "delay 0" >&7; }

set_up_stalled() { set_up_late; }
begin_stalled() { echo stall >&7; }
end_stalled() { echo flow >&7; }

set_up_replica() { server other; set_up_killed; }
begin_replica() { redis redis REPLICAOF 127.0.0.1 "${ports[other]}" >/dev/null; }
end_replica() { redis redis REPLICAOF NO ONE >/dev/null; }

master_and_replica() {
  server redis
  server other --replicaof 127.0.0.1 "${ports[redis]}"
  wait_for other is_in_step other
}
set_up_roles() { master_and_replica; sharing "redis=unix:$work/redis.sock"; }
is_in_step() { redis "$1" INFO replication | grep -q master_link_status:up; }
begin_roles() {
  redis other REPLICAOF NO ONE >/dev/null
  redis redis REPLICAOF 127.0.0.1 "${ports[other]}" >/dev/null
}
end_roles() {
  redis redis REPLICAOF NO ONE >/dev/null
  redis other REPLICAOF 127.0.0.1 "${ports[redis]}" >/dev/null
}

set_up_full() { server redis --maxmemory-policy noeviction; sharing "redis=unix:$work/redis.sock"; }
begin_full() { redis redis CONFIG SET maxmemory 1 >/dev/null; }
end_full() { redis redis CONFIG SET maxmemory 0 >/dev/null; }

set_up_evicting() { server redis --maxmemory-policy allkeys-lru; sharing "redis=unix:$work/redis.sock"; }
begin_evicting() { redis redis CONFIG SET maxmemory "$(redis redis INFO memory | sed -n 's/^used_memory:\([0-9]*\).*/\1/p')" >/dev/null; }
end_evicting() { redis redis CONFIG SET maxmemory 0 >/dev/null; }

set_up_failover() {
  local i sentinels=
  master_and_replica
  for i in 0 1 2; do
    ports[sentinel$i]=$(free_port)
    mkdir -p "$work/sentinel$i.d"
    printf '%s\n' "bind 127.0.0.1" "port ${ports[sentinel$i]}" "unixsocket $work/sentinel$i.sock" "dir $work/sentinel$i.d" \
      "sentinel monitor mxway 127.0.0.1 ${ports[redis]} 2" "sentinel down-after-milliseconds mxway 1000" \
      "sentinel failover-timeout mxway 5000" >"$work/sentinel$i.d/conf"
    start "sentinel$i" "${beside[@]}" redis-server "$work/sentinel$i.d/conf" --sentinel
    sentinels+="${sentinels:+,}127.0.0.1:${ports[sentinel$i]}"
  done
  for i in 0 1 2; do
    wait_for "sentinel$i" knows_all "sentinel$i"
  done
  sharing "redis=$sentinels" redis-topology=sentinel redis-master=mxway
}
knows_all() {
  redis "$1" SENTINEL MASTER mxway | paste - - | awk '$1 == "num-other-sentinels" { n = $2 } $1 == "num-slaves" { s = $2 } END { exit n != 2 || s < 1 }'
}
begin_failover() { kill_server redis; }
end_failover() { :; }

set_up_slots() {
  local i nodes=() targets=
  for i in 0 1 2; do
    server "node$i" --cluster-enabled yes --cluster-node-timeout 2000
    nodes+=("127.0.0.1:${ports[node$i]}")
    targets+="${targets:+,}127.0.0.1:${ports[node$i]}"
  done
  redis-cli --cluster create "${nodes[@]}" --cluster-replicas 0 --cluster-yes >/dev/null
  for i in 0 1 2; do
    wait_for "node$i" is_cluster_well "node$i"
  done
  sharing "redis=$targets" redis-topology=cluster
}
is_cluster_well() { redis "$1" CLUSTER INFO | grep -q cluster_state:ok; }
# A hundred slots with what lies in them, from the first node to the second, while the others go on.
begin_slots() {
  "${beside[@]}" redis-cli --cluster reshard "127.0.0.1:${ports[node0]}" --cluster-from "$(redis node0 CLUSTER MYID)" \
    --cluster-to "$(redis node1 CLUSTER MYID)" --cluster-slots 100 --cluster-yes >"$work/reshard.log" 2>&1 &
  resharding=$!
}
end_slots() { wait "$resharding" || fail 1 "redis-cli could not move the slots: $(tail -n 2 "$work/reshard.log")"; }

# Not an outage: the warm start of a new node, which has what is hot in memory already.
warm_names=40000
set_up_warming() { set_up_killed; ask_new "mxway:$work/mxwayd.sock,depth=addresses" "$warm_names"; wait_for mxwayd has_written; }
has_written() { "$mxway" stats --json --socket "$work/mxwayd.control" | grep -q '"writes_queued":0'; }
ready_warming() {
  stop mxwayd
  sharing "redis=unix:$work/redis.sock" redis-warm-start=2000
  ask_all "mxway:$work/mxwayd.sock,depth=addresses"
}
begin_warming() { :; }
end_warming() {
  local loaded
  loaded=$("$mxway" stats --json --socket "$work/mxwayd.control" | sed -n 's/.*"warm-loaded":\([0-9]*\).*/\1/p')
  [[ ${loaded:-0} -gt 4000 ]] || fail 1 "mxwayd has read ${loaded:-nothing} from redis-server, not more than 4000 values"
}
