# The whole of a hit but for the socket, by one frontend and by two: whether they wait for each other.

run_scenario() {
  local count rounds=${runs} length=$seconds
  [[ $(nproc) -gt 1 ]] || fail 69 "two frontends need two cores"
  [[ -z $quick ]] || length=0.5
  for count in ${names:-100000 1000000}; do
    [[ -z $quick || -n $names ]] || count=20000
    say "$count domains: one frontend, two threads and two processes take turns"
    "$hit_program" "$count" "$rounds" "$length" >"$out/$count.json"
    table cores "$count domains=$out/$count.json" | tee "$out/$count.txt"
    [[ -z $quick ]] || break
  done
}
