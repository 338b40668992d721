#!/usr/bin/env python3
"""The tables of bench/run, from the JSON of mxway-bench. Usage: table.py ratios|miss|memory|scan|cache|cores|outage|herd|silent ARGUMENT..."""
import json
import re
import statistics
import sys

NAMES = (
    (r"null", "null (bare socket)"),
    (r"mxway:.*depth=addresses", "mxway, with addresses"),
    (r"mxway:", "mxway"),
    (r"redis:", "Redis GET"),
    (r"dns:.*,full", "unbound, MX + A + AAAA"),
    (r"dns:", "unbound, MX"),
)


def name_of(label):
    return next((name for pattern, name in NAMES if re.match(pattern, label)), label)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def number(value, digits=3):
    """Three digits, and k or M: what holds on a noisy machine."""
    if value is None:
        return "-"
    for limit, unit in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / (1e6 if unit == ' M' else 1e3):.{digits}g}{unit}"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"


def time(microseconds):
    if microseconds is None:
        return "-"
    for limit, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= limit:
            return f"{microseconds / limit:.3g} {unit}"
    return f"{microseconds:.3g} us"


def spread(value):
    """The median of the runs and how far they are apart."""
    if value is None or value["median"] is None:
        return "-"
    text = f"{value['median']:.2f}"
    if value["least"] is not None and value["least"] < value["most"]:
        text += f" [{value['least']:.2f}-{value['most']:.2f}]"
    return text


def spread_of(values):
    """The same of values of which some may not be known."""
    values = [value for value in values if value is not None]
    return spread({"median": statistics.median(values), "least": min(values), "most": max(values)} if values else None)


def median(target, *keys):
    value = target
    for key in keys:
        value = (value or {}).get(key)
    return value["median"] if isinstance(value, dict) else value


def show(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [f"{str(cell):<{width}}" if i == 0 else f"{str(cell):>{width}}"
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def warn(title, *sessions):
    """What a reader has to know, once; that runs were disturbed is one sentence for all targets."""
    targets = [target for session in sessions for target in session["targets"]]
    disturbed, runs = sum(target["disturbed"] for target in targets), sum(len(target["runs"]) for target in targets)
    notes = []
    if disturbed:
        notes.append(f"{disturbed} of {runs} runs were disturbed by other work on this machine; CPU figures hold best")
    for target in targets:
        if target["client_bound"]:
            notes.append(f"{name_of(target['label'])}: mxway-bench itself was the bottleneck")
    notes += [sentence for session in sessions for sentence in session["warnings"]
              if "disturbed" not in sentence and "bottleneck" not in sentence]
    for note in dict.fromkeys(notes):
        print(f"  note, {title}: {note}")


def print_sentences(title, session):
    """mxway beside the others in words. Rates of disturbed runs compare the machine's moods, so they stay out."""
    targets = {name_of(target["label"]): target for target in session["targets"]}
    is_quiet = not any(target["disturbed"] for target in session["targets"])
    for other in ("Redis GET", "unbound, MX"):
        rate, cpu = (median(targets.get(other), "ratios", key) for key in ("rate", "server_cpu"))
        if cpu:
            faster = f", and answers {1 / rate:.2g} times as many" if rate and is_quiet else ""
            print(f"  {title}: mxway needs {1 / cpu:.2g} of the CPU a lookup of {other}{faster}")


def floors(session):
    """Pairs of a target and the null server that answers as many octets: the one behind the same mxway target."""
    groups = []
    for target in session["targets"]:
        if not groups or target["label"].startswith("mxway:"):
            groups.append([])
        groups[-1].append(target)
    for group in groups:
        null = next((target for target in group if target["label"].startswith("null")), None)
        yield from ((target, null if target["label"].startswith(("mxway:", "redis:")) else None) for target in group)


def to_floor(target, null, *keys):
    """Run by run: what was measured in turns stood in the same weather."""
    if null is None:
        return "-"
    pairs = [(median(run, *keys), median(floor, *keys)) for run, floor in zip(target["runs"], null["runs"])]
    return spread_of(mine / floor for mine, floor in pairs if mine and floor)


def ratios(arguments):
    """SESSION=FILE...: one table over all sessions; ratios are to mxway, and to the null server of the same length."""
    sessions = [(title, load(path)) for title, path in (argument.rsplit("=", 1) for argument in arguments)]
    head = ["", "lookups/s", "rate / mxway's", "rate / null's", "server CPU", "CPU / mxway's", "CPU / null's",
            "octets", "p50", "p99", "loss"]
    rows = []
    for title, session in sessions:
        rows.append([title] + [""] * (len(head) - 1))
        for target, null in floors(session):
            octets = sum(run["reply_bytes"] for run in target["runs"])
            rows.append([
                "  " + (target["name"] if target["label"].startswith("null") else name_of(target["label"])),
                number(median(target, "figures", "rate")),
                spread(target["ratios"]["rate"]),
                to_floor(target, null, "rate"),
                time(median(target, "figures", "server_cpu_us")),
                spread(target["ratios"]["server_cpu"]),
                to_floor(target, null, "server", "cpu_us"),
                f"{octets / target['completed']:.0f}" if target["completed"] else "-",
                time(median(target, "latency", "p50_us")),
                time(median(target, "latency", "p99_us")),
                f"{(median(target, 'figures', 'loss') or 0):.2%}",
            ])
    show(head, rows)
    print()
    for title, session in sessions:
        print_sentences(title, session)
    for title, session in sessions:
        warn(title, session)


def plain_cares(path):
    with open(path, encoding="utf-8") as file:
        return {key: float(value) for key, value in re.findall(r"(\w+) ([\d.]+)", file.read())}


def row_of(title, session, queries):
    target = session["targets"][0]
    lookups = target["completed"] or 1
    return title, target, lookups, int(queries) / lookups


def rounds_of(arguments):
    """PLAIN NAME=FILE=QUERIES... PLAIN ...: a file of mxway-plain-cares begins a round."""
    rounds = []
    for argument in arguments:
        if "=" in argument:
            rounds[-1][1].append(argument.split("="))
        else:
            rounds.append((plain_cares(argument), []))
    return rounds


def miss(arguments):
    """PLAIN NAME=FILE=QUERIES... PLAIN ...: the floor is what a program does by itself in the same round."""
    rounds = rounds_of(arguments)
    figures = {}  # by title, those of each round
    for plain, sessions in rounds:
        figures.setdefault("c-ares alone", []).append(
            (plain["rate"], 1, plain["cpu"], 1, plain["queries"] / plain["lookups"], plain["p50"], plain["p99"],
             plain["failed"] / plain["lookups"]))
        for title, path, queries in sessions:
            _, target, _, each = row_of(title, load(path), queries)
            rate, cpu = median(target, "figures", "rate") or 0, median(target, "figures", "server_cpu_us")
            figures.setdefault(name_of(target["label"]), []).append(
                (rate, rate / plain["rate"], cpu, cpu / plain["cpu"] if cpu else None, each,
                 median(target, "latency", "p50_us"), median(target, "latency", "p99_us"),
                 median(target, "figures", "loss") or 0))
    rows = []
    for title, found in figures.items():
        rate, _, cpu, _, each, p50, p99, loss = (
            statistics.median(known) if known else None
            for known in ([value for value in column if value is not None] for column in zip(*found)))
        rows.append([title, number(rate), spread_of(one[1] for one in found), time(cpu), spread_of(one[3] for one in found),
                     f"{each:.2f}", time(p50), time(p99), f"{loss:.2%}"])
    show(["", "lookups/s", "/ c-ares", "CPU", "/ c-ares", "queries a lookup", "p50", "p99", "loss"], rows)
    waited = max(plain["waited"] / plain["seconds"] for plain, _ in rounds)
    if waited > 0.05:
        alone = statistics.median(plain["lookups"] / (plain["seconds"] - plain["waited"]) for plain, _ in rounds)
        print(f"  note: c-ares alone waited up to {waited:.0%} of the time for a core that others had; without that it makes "
              f"{number(alone)} lookups/s. Compare with those, or CPU")
    warn("all rounds", *(load(path) for _, sessions in rounds for _, path, _ in sessions))


def herd(arguments):
    """PLAIN NAME=FILE=QUERIES...: upstream queries for one name, and the time to the last answer."""
    plain = plain_cares(arguments[0])
    rows = []
    sessions = [argument.split("=") for argument in arguments[1:]]
    for title, path, queries in sessions:
        target = load(path)["targets"][0]
        rows.append([name_of(target["label"]), target["completed"], queries,
                     time(median(target, "latency", "p50_us")), time(target["latency"]["max_us"]),
                     target["timeouts"] + target["errors"]])
    rows.append(["c-ares alone", f"{plain['lookups']:.0f}", f"{plain['queries']:.0f}", time(plain["p50"]),
                 time(plain["max"]), f"{plain['failed']:.0f}"])
    show(["", "answers", "upstream queries", "p50", "last", "lost"], rows)
    for title, path, _ in sessions:
        warn(title, load(path))


def memory(arguments):
    """NAMES TITLE=BEFORE=AFTER...: resident KiB before and after NAMES domains."""
    names = int(arguments[0])
    grown = [(title, int(before), int(after)) for title, before, after in (item.rsplit("=", 2) for item in arguments[1:])]
    first = max(1, grown[0][2] - grown[0][1])
    rows = [[title, f"{before / 1024:.1f}", f"{after / 1024:.1f}", f"{(after - before) * 1024 / names:.0f}",
             f"{(after - before) / first:.2f}"] for title, before, after in grown]
    show([f"{names} domains", "MiB before", "MiB after", "octets a domain", "/ mxwayd's"], rows)


def scan(arguments):
    """BOUND_MIB BEFORE AFTER scan=REQUESTS=HITS=EVICTED flood=DOMAINS=FOUND=EVICTED: half of the scan's requests are for hot names."""
    bound, before, after = (int(argument) for argument in arguments[:3])
    figures = {title: [int(value) for value in values] for title, *values in (item.split("=") for item in arguments[3:])}
    requests, hits, evicted = figures["scan"]
    print(f"scan: {requests} questions, {evicted} domains evicted; "
          f"{200 * hits / requests:.2f} % of the questions for hot names were hits")
    domains, found, denied = figures["flood"]
    print(f"flood: {denied} denials evicted; {100 * found / domains:.2f} % of the domains from before it are still there")
    print(f"resident: {(after - before) / 1024:.1f} MiB grown, {(after - before) / 1024 / bound:.2f} of the bound")


def cache(arguments):
    """TITLE=FILE...: what mxway-bench-cache printed."""
    files = [(title, load(path)) for title, path in (argument.split("=", 1) for argument in arguments)]
    rows = [(text, *(f"{figures[key]:.{digits}f}" for _, figures in files)) for text, key, digits in (
        ("domains at the end", "count", 0), ("octets a domain, own accounts", "octets", 1),
        ("octets a domain, resident", "resident", 1), ("ns a put", "put_ns", 0), ("longest put, us", "put_longest_us", 0),
        ("ns a lookup, one at a time", "lookup_1_ns", 0), ("ns a lookup, in batches of 8", "lookup_8_ns", 0),
        ("ns a lookup, in batches of 16", "lookup_16_ns", 0), ("ns a lookup, in batches of 32", "lookup_32_ns", 0),
        ("ns a lookup, in batches of 64", "lookup_64_ns", 0), ("as many again: ns a put", "again_put_ns", 0),
        ("as many again: longest put, us", "again_longest_us", 0), ("resident / bound at the end", "resident_of_bound", 2))]
    show(["", *(title for title, _ in files)], rows)


def cores(arguments):
    """TITLE=FILE...: what mxway-bench-hit printed. On a machine that is a little busy CPU tells what two cores make."""
    sessions = [(title, load(path)) for title, path in (argument.rsplit("=", 1) for argument in arguments)]
    rows, idle = [], 0
    for title, runs in sessions:
        for depth in ("exchanges", "addresses"):
            rows.append([f"{title}, {depth}"] + [""] * 5)
            ways = {way: [run for run in runs if (run["depth"], run["way"]) == (depth, way)]
                    for way in ("one frontend", "two threads", "two processes")}
            ones, apart = ways["one frontend"], ways["two processes"]
            for way, these in ways.items():
                cores_used = 1 if these is ones else 2
                idle = max(idle, max(run["idle"] for run in these))
                rows.append([
                    "  " + way,
                    number(statistics.median(run["rate"] for run in these)),
                    spread_of(run["rate"] / one["rate"] for run, one in zip(these, ones)),
                    f"{statistics.median(run['cpu_ns'] for run in these):.0f} ns",
                    spread_of(cores_used * one["cpu_ns"] / run["cpu_ns"] for run, one in zip(these, ones)),
                    spread_of(other["cpu_ns"] / run["cpu_ns"] for run, other in zip(these, apart))
                    if way == "two threads" else "",
                ])
    show(["", "lookups/s", "/ one frontend", "CPU a lookup", "/ one, by CPU", "/ two processes, by CPU"], rows)
    if idle > 0.05:
        print(f"  note: a frontend was kept from its core for up to {idle:.0%} of a run: rates say nothing then, and CPU shows "
              "less of what the two would do to each other, the less they ran at once")


def phase(intervals, least_s, most_s):
    """What happened between two moments; the intervals at the edges belong to both sides and are left out."""
    inner = [interval for interval in intervals
             if interval["at_s"] >= least_s - 0.01 and interval["at_s"] + interval["length_s"] <= most_s + 0.01]
    return inner[1:-1] if len(inner) > 2 else inner


def outage(arguments):
    """SECONDS WHAT TITLE=FILE...: each third of the session, of SECONDS; WHAT was stopped in the second."""
    third, what = int(arguments[0]), arguments[1]
    rows = []
    sessions = [(title, load(path)) for title, path in (argument.split("=", 1) for argument in arguments[2:])]
    for title, session in sessions:
        target = session["targets"][0]
        for index, when in enumerate(("as usual", f"{what} stopped", f"{what} back")):
            found = phase(target["runs"][0]["intervals"], index * third, (index + 1) * third)
            seconds = sum(interval["length_s"] for interval in found)
            middle = sorted(interval["p50_us"] for interval in found if interval["completed"])
            worst = [interval["p99_us"] for interval in found if interval["completed"]]
            rows.append([
                f"{title}, {when}",
                number(sum(interval["completed"] for interval in found) / seconds) if seconds else "-",
                time(middle[len(middle) // 2]) if middle else "-",
                time(max(worst)) if worst else "-",
                time(max(interval["max_us"] for interval in found)) if worst else "-",
            ])
    show(["", "answers/s", "p50", "worst p99", "max"], rows)
    for title, session in sessions:
        kinds = session["targets"][0]["kinds"]
        print(f"  {title}: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
        warn(title, session)


def silent(arguments):
    """TITLE=FILE=FILE=QUERIES...: the first lookups, those after them, and what the silent server was asked."""
    rows = []
    sessions = [argument.split("=") for argument in arguments]
    for title, first, later, queries in sessions:
        for when, path, asked in (("at first", first, ""), ("then", later, queries)):
            target = load(path)["targets"][0]
            rows.append([f"{title}, {when}", target["completed"], time(median(target, "latency", "p50_us")),
                         time(median(target, "latency", "p99_us")), time(target["latency"]["max_us"]),
                         target["timeouts"] + target["errors"], asked])
    show(["", "lookups", "p50", "p99", "max", "lost", "queries to the silent one"], rows)
    for title, _, path, _ in sessions:
        warn(title, load(path))


def typical_p99(target):
    """p99 of the typical quarter of a second: other work on the machine spoils some of them, an outage of the store would all."""
    worst = [interval["p99_us"] for run in target["runs"] for interval in run["intervals"] if interval["completed"]]
    return statistics.median(worst) if worst else None


def store_outages(arguments):
    """KIND=USUAL=OUTAGE=MISSES...: hits as usual and in an outage of redis-server, in turns, and misses in the outage."""
    kinds, sessions = {}, []
    for kind, *paths in (argument.split("=") for argument in arguments):
        usual, hits, misses = (load(path) for path in paths)
        kinds.setdefault(kind, []).append([session["targets"][0] for session in (usual, hits, misses)])
        sessions += [usual, hits]
    rows = []
    for kind, all_rounds in kinds.items():
        # One that other work on the machine disturbed says more of that than of Redis; where all were, they are what there is.
        rounds = [targets for targets in all_rounds if not targets[0]["disturbed"] + targets[1]["disturbed"]] or all_rounds
        p99 = [[median(target, "latency", "p99_us") for target in targets] for targets in rounds]
        rows.append([
            kind, f"{len(rounds)} of {len(all_rounds)}", *(time(statistics.median(column)) for column in list(zip(*p99))[:2]),
            spread_of(outage / usual for usual, outage, _ in p99),
            spread_of(typical_p99(hits) / typical_p99(usual) for usual, hits, _ in rounds),
            spread_of(median(hits, "latency", "p50_us") / median(usual, "latency", "p50_us") for usual, hits, _ in rounds),
            time(max(hits["latency"]["max_us"] for _, hits, _ in rounds)),
            sum(hits["timeouts"] + hits["errors"] for _, hits, _ in rounds),
            time(statistics.median(median(misses, "latency", "p50_us") for *_, misses in rounds)),
            time(statistics.median(column[2] for column in p99)),
            sum(misses["timeouts"] + misses["errors"] for *_, misses in rounds),
        ])
    show(["redis-server", "rounds", "p99 as usual", "in the outage", "ratio of p99", "of a typical 1/4 s", "ratio of p50", "max", "lost", "misses: p50", "p99", "lost"],
         rows)
    warn("hits", *sessions)


def store_misses(arguments):
    """NAMES TITLE-ROUND=FILE=QUERIES...: cold names, answered from where; ratios are to unbound's of the same round."""
    names, rounds = int(arguments[0]), {}
    sessions = []
    for title, path, queries in (argument.split("=") for argument in arguments[1:]):
        title, number_of_round = title.rsplit("-", 1)
        session = load(path)
        sessions.append(session)
        rounds.setdefault(number_of_round, {})[title] = (session["targets"][0], int(queries))
    rows = []
    for title, text, floor in (
            ("shared-addresses", "mxway from Redis, with addresses", "unbound-full"),
            ("alone-addresses", "mxway from the DNS, with addresses", "unbound-full"),
            ("unbound-full", "unbound, MX + A + AAAA", "unbound-full"),
            ("shared-exchanges", "mxway from Redis", "unbound-mx"), ("unbound-mx", "unbound, MX", "unbound-mx")):
        found = [(one[title][0], one[floor][0], one[title][1]) for one in rounds.values()]
        rows.append([
            text, number(statistics.median(median(target, "figures", "rate") for target, _, _ in found)),
            spread_of(median(target, "figures", "rate") / median(base, "figures", "rate") for target, base, _ in found),
            time(statistics.median(median(target, "figures", "server_cpu_us") or 0 for target, _, _ in found)),
            spread_of(median(target, "figures", "server_cpu_us") / median(base, "figures", "server_cpu_us")
                      for target, base, _ in found),
            f"{statistics.median(queries for *_, queries in found) / names:.3f}",
            time(statistics.median(median(target, "latency", "p50_us") for target, _, _ in found)),
            time(statistics.median(median(target, "latency", "p99_us") for target, _, _ in found)),
            sum(target["timeouts"] + target["errors"] for target, _, _ in found),
        ])
    show([f"{names} cold names", "lookups/s", "/ unbound's", "server CPU", "/ unbound's", "queries a lookup", "p50", "p99", "lost"], rows)
    warn("misses", *sessions)


def store_memory(arguments):
    """WARM=USUAL=OUTAGE=AFTER...: files with resident KiB, one a line; growth is over the last of the part before."""
    rows = []
    for index, argument in enumerate(arguments):
        samples = []
        for path in argument.split("="):
            with open(path, encoding="utf-8") as file:
                samples.append([int(line) / 1024 for line in file])
        warm, usual, outage_, after = samples
        rows.append([f"round {index + 1}", f"{warm[-1]:.1f}", f"{max(usual) - warm[-1]:.1f}", f"{max(outage_) - usual[-1]:.1f}",
                     f"{max(after) - usual[-1]:.1f}"])
    show(["MiB resident", "at first", "grown as usual", "grown in the outage", "grown after it"], rows)


if __name__ == "__main__":
    commands = {"ratios": ratios, "miss": miss, "memory": memory, "scan": scan, "cache": cache,
                "cores": cores, "outage": outage, "herd": herd, "silent": silent, "store_outages": store_outages,
                "store_misses": store_misses, "store_memory": store_memory}
    commands[sys.argv[1]](sys.argv[2:])
