#include "options.h"

static const char what[] =
    "Usage: mxway-bench -s TARGET [-s TARGET...] (-d FILE | --gen SPEC) [OPTION...]\n"
    "\n"
    "Measures how many MX routes a server answers a second, how long each takes and what it costs,\n"
    "and compares servers that are asked the same in turns.\n"
    "\n";

static const char examples[] =
    "Examples:\n"
    "  The most that the daemon on this machine answers, 64 connections, 10 seconds:\n"
    "    mxway-bench -s mxway:/run/mxway/lookup.sock --gen zipf:n=100000 -c 64 -l 10 --warm-up 2\n"
    "  The same beside the floor of the socket itself and unbound, 5 runs each, as ratios, with a page:\n"
    "    mxway-bench -s mxway:/run/mxway/lookup.sock -s null -s dns:127.0.0.1:53,pid=$(pidof unbound) \\\n"
    "      --gen zipf:n=100000 -c 64 -l 5 --runs 5 --warm-up 2 --html report.html\n"
    "  How long answers take when 20,000 are wanted a second, whether they come or not (open loop):\n"
    "    mxway-bench -s mxway:/run/mxway/lookup.sock -d names.txt -c 8 -Q 20k -l 30\n"
    "  The highest rate with short latencies:\n"
    "    mxway-bench -s mxway:/run/mxway/lookup.sock -d names.txt --find-max 'p99<500us,loss<0.1%'\n"
    "  A test that fails when answers are wrong or late:\n"
    "    mxway-bench -d names.txt -Q 1000 -l 10 --verify expected.tsv --assert 'p99<5ms,loss<0.1%'\n";

static const char usual[] =
    "\n"
    "What is measured:\n"
    "  -s TARGET          repeatable; the first is what the others are compared with; default mxway:\n"
    "     mxway:SOCKET[,depth=exchanges|addresses][,refresh][,cache-only]  (no SOCKET: $MXWAY_SOCKET)\n"
    "     dns:ADDRESS:PORT[,tcp][,full]    one MX query, or with full also A and AAAA of each exchange\n"
    "     redis:SOCKET|ADDRESS:PORT[,value=BYTES]  GET of keys that are set before (mxway-bench:NAME)\n"
    "     null[,reply=BYTES]               a server that does nothing: the floor of the socket\n"
    "     each also pid=N                  the server's process, where it cannot be found out\n"
    "               name=TEXT              what the page calls it\n"
    "  -d FILE            lines `name` or `name TYPE`; - is standard input\n"
    "  --gen SPEC         zipf:s=1.0,n=1000000 or uniform:n=100000; nx=SHARE of names that do not exist,\n"
    "                     new=SHARE of names never asked before; names of the zone of mxway-upstream\n"
    "  --seed N           of the generator (1)\n"
    "\n"
    "How:\n"
    "  -c N               connections of all threads (1)\n"
    "  -T N               threads (1)\n"
    "  -q N               outstanding lookups a connection (64)\n"
    "  -Q RATE            open loop: so many lookups a second; latency counts from the moment each is due\n"
    "  -l SECONDS         length of a run (10 with --gen, 2 with --find-max)\n"
    "  -n PASSES          how often the file is asked (1, without -l)\n"
    "  -t SECONDS         when a lookup counts as lost (5)\n"
    "  -S SECONDS         length of an interval of the rate over time (a 20th of the run, at most 1)\n"
    "  --runs N           runs of each target, in turns; figures are medians (1)\n"
    "  --warm-up SECONDS  before each run, not counted (0)\n"
    "  --repeats N        how often a disturbed run is measured again (2)\n"
    "  --find-max COND    search the highest rate at which COND holds, such as 'p99<500us,loss<0.1%'\n"
    "  --pid N            the server's process, for its CPU time and memory\n"
    "  --pin server=CPUS,client=CPUS   such as server=0,client=1-3+5\n"
    "  --hold-idle        keep CPUs awake for the length of the runs (/dev/cpu_dma_latency)\n"
    "\n"
    "What comes out:\n"
    "  --verify FILE      lines name<TAB>KIND[ preference host]...: a wrong answer fails the run\n"
    "  --verify-every N   verify each Nth lookup (100; each one where the query file has up to 1000 lines)\n"
    "  --assert COND      repeatable; exit status 1 unless it holds for every target\n"
    "  -o text|json|csv   on standard output (text)\n"
    "  --hgrm FILE        percentiles for HdrHistogram's plotter; several targets: FILE.1, FILE.2, ...\n"
    "  --html FILE        a page with curves and bars\n"
    "  -v                 a line on standard error for each run\n"
    "  -h, --help, --version\n"
    "\n"
    "Exit status: 0, 1 (unreachable, lost, wrong or not as asserted), 64 (used wrongly), 130 (^C).\n";

void options_print_help(FILE *out) {
  fputs(what, out);
  fputs(examples, out);
  fputs(usual, out);
}
