# Lookups of domains nobody has asked for yet, with two upstream servers of which one is silent: its port is open, and
# nothing comes back. The other takes 10 ms. Each pair of rows has a mxwayd of its own, which knows nothing of its servers at first.

rate=1000
first=10

# start_silent: sets silent=ADDRESS:PORT.
start_silent() {
  start silent "${on_client[@]}" "$upstream_program" --fault '*=silent'
  wait_for silent grep -q '^listening on ' "$work/silent.log"
  silent=$(sed -n 's/^listening on //p' "$work/silent.log")
}

# cold TITLE NAME SERVER SERVER: the first lookups one after the other, then many.
cold() {
  local title=$1 name=$2 target="mxway:$work/$2.sock" asked
  upstream=$3
  start_mxwayd "$name" "upstream=$4"
  measure "$name-first" --repeats 0 -s "$target" -d "$work/names" -n 1 -c 1 -q 1 -T 1 --runs 1 --warm-up 0
  measure "$name" --repeats 0 -s "$target,pid=${pids[$name]}" -c 4 -q 256 -T 1 -Q "$rate" --gen "uniform:n=1,new=1" \
    -l "$seconds" --runs 1 --warm-up 0
  stop "$name"
  stop silent
  asked=$(sed -n 's/^counter total //p' "$work/silent.log" | tail -n 1)
  start_silent
  sessions+=("$title=$out/$name-first.json=$out/$name.json=$asked")
}

run_scenario() {
  local good
  sessions=()
  names=$first
  write_names
  start_upstream --ttl 86400 --delay 10
  good=$upstream
  start_silent
  say "the first $first domains one after the other, then $rate a second for $seconds s"
  cold "none is silent" good "$good" "$good"
  cold "the first is silent" first-silent "$silent" "$good"
  cold "the second is silent" second-silent "$good" "$silent"
  table silent "${sessions[@]}" | tee "$out/silent.txt"
}
