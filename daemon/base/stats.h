/*
 * stats: counters, one set a thread, summed when read.
 *
 * Each thread that counts owns a struct stats and is its only writer, so that
 * counting is a plain load and store on a line no other thread writes.
 * The table below is the list, the documentation and the order of printing.
 */
#ifndef MXWAY_DAEMON_STATS_H
#define MXWAY_DAEMON_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(NAME, "name as printed", "what it counts") */
#define STATS_TABLE(X)                                                                                       \
  X(REQUESTS, "requests", "lookup requests read")                                                            \
  X(REQUESTS_BAD, "requests-bad", "requests refused: malformed or with a value not known here")              \
  X(REQUESTS_INVALID_NAME, "requests-invalid-name", "requests whose domain is no name")                      \
  X(REQUESTS_SPECIAL_USE, "requests-special-use", "requests for special-use names, refused without the DNS") \
  X(REQUESTS_OVERRIDE, "requests-override", "requests for names with a configured route")                    \
  X(HITS, "hits", "answers from memory")                                                                     \
  X(MISSES, "misses", "requests passed to the resolver")                                                     \
  X(ANSWERS_LATE, "answers-late", "answers whose client was gone")                                           \
  X(CONNECTIONS, "connections", "client connections accepted")                                               \
  X(CONNECTIONS_REFUSED, "connections-refused", "connections closed at once: over max-connections")          \
  X(CONNECTIONS_BROKEN, "connections-broken", "connections closed because framing was lost")                 \
  X(CONNECTIONS_PAUSED, "connections-paused", "times a client was not read because it does not read")        \
  X(LOOKUPS_COALESCED, "lookups-coalesced", "misses that joined a lookup under way")                         \
  X(LOOKUPS_DEADLINE, "lookups-deadline", "lookups answered DEADLINE")                                       \
  X(LOOKUPS_OVERLOAD, "lookups-overload", "lookups answered OVERLOAD")                                       \
  X(REFRESHES, "refreshes", "lookups started by a hit whose facts were about to expire, or stale")           \
  X(DNS_QUERIES, "dns-queries", "queries sent to upstream servers, retries included")                        \
  X(DNS_ANSWERS, "dns-answers", "replies used")                                                              \
  X(DNS_TIMEOUTS, "dns-timeouts", "queries without a reply in query-timeout")                                \
  X(DNS_FAILOVERS, "dns-failovers", "queries sent again to another server")                                  \
  X(DNS_HEDGES, "dns-hedges", "queries sent to a second server because the first was late")                  \
  X(DNS_PROBES, "dns-probes", "copies of queries sent to see whether a demoted server is well again")        \
  X(DNS_DEMOTIONS, "dns-demotions", "times an upstream server was put last for failing")                     \
  X(DNS_TCP, "dns-tcp", "questions asked again over TCP because the reply over UDP was not to be trusted")   \
  X(DNS_FORGED, "dns-forged", "replies with other letters than were asked, as a forger would send")          \
  X(DNS_SHED, "dns-shed", "waiting queries that gave way to something more important")                       \
  X(DNS_MALFORMED, "dns-malformed", "replies that could not be read")                                        \
  X(DNS_CHANNELS, "dns-channels", "upstream channels opened: each brings a new source port")                 \
  X(STORE_HITS, "store-hits", "reads of the shared store that gave what was wanted")                         \
  X(STORE_MISSES, "store-misses", "reads that gave nothing of use: the DNS was asked")                       \
  X(STORE_STALE, "store-stale", "values that had expired, good for a stale answer at most")                  \
  X(STORE_SHORT, "store-short", "values that hold, but not all or not for as long as was wanted")            \
  X(STORE_LATE, "store-late", "reads without an answer in redis-head-start: the DNS was asked beside")       \
  X(STORE_TIMEOUTS, "store-timeouts", "reads without an answer in redis-timeout")                            \
  X(STORE_AWAY, "store-away", "reads not begun, or cut off, because the shared store was away")              \
  X(STORE_BUSY, "store-busy", "reads not begun because too many were under way")                             \
  X(STORE_ERRORS, "store-errors", "reads and leases that were answered with an error")                       \
  X(STORE_TOO_LONG, "store-too-long", "values longer than any of ours")                                      \
  X(STORE_NO_RECORD, "store-no-record", "values that are not of mxway, or no strings")                       \
  X(STORE_UNKNOWN_VERSION, "store-unknown-version", "values of another version of mxway")                    \
  X(STORE_CORRUPT, "store-corrupt", "values whose checksum is wrong")                                        \
  X(STORE_BAD_MAC, "store-bad-mac", "values that are not sealed with a key of redis-mac-key-file")           \
  X(STORE_WRONG_NAME, "store-wrong-name", "values about another name than their key says")                   \
  X(STORE_IMPOSSIBLE, "store-impossible", "values with a good checksum that mxway cannot have written")      \
  X(STORE_SKEWED, "store-skewed", "values from over a minute in the future: a clock is wrong")               \
  X(STORE_EXPIRED, "store-expired", "values too old even for a stale answer")                                \
  X(STORE_PURGED, "store-purged", "values from before a purge")                                              \
  X(STORE_LEASES_WON, "store-leases-won", "leases won: this node asked the DNS for all")                     \
  X(STORE_LEASES_LOST, "store-leases-lost", "leases that another node had")                                  \
  X(STORE_LEASES_WAITED, "store-leases-waited", "of those, in vain: no value came in redis-lease")           \
  X(STORE_WRITES, "store-writes", "values written to the shared store, and deletions")                       \
  X(STORE_WRITES_SAME, "store-writes-same", "values not written because the store has the same")             \
  X(STORE_WRITES_FAILED, "store-writes-failed", "writes refused, or lost with their connection")             \
  X(STORE_WRITES_DROPPED, "store-writes-dropped", "writes dropped because too many waited, or for too long") \
  X(STORE_PURGES_TOLD, "store-purges-told", "notices of purges given to the other nodes")                    \
  X(STORE_PURGES_UNTOLD, "store-purges-untold", "tries to give one that failed: it is tried again")          \
  X(STORE_PURGES_HEARD, "store-purges-heard", "notices of other nodes that were followed here")              \
  X(STORE_PURGES_REFUSED, "store-purges-refused", "notices that are not of mxway, broken or not sealed")     \
  X(STORE_PURGES_MISSED, "store-purges-missed", "times that notices were lost, and all memory was purged")   \
  X(WARM_FOUND, "warm-found", "names that a warm start has found to be asked for, hosts included")           \
  X(WARM_LOADED, "warm-loaded", "of these, values put into memory")                                          \
  X(WARM_KNOWN, "warm-known", "of these, known in memory as well")                                           \
  X(WARM_MISSING, "warm-missing", "of these, without a value")                                               \
  X(WARM_EXPIRED, "warm-expired", "of these, values that hold no more")                                      \
  X(WARM_REFUSED, "warm-refused", "of these, values that cannot be used, and keys that are no names")        \
  X(WARM_FAILED, "warm-failed", "of these, values that the store did not tell")                              \
  X(WARM_LEFT, "warm-left", "of these, values without room in memory, or overtaken by a purge")              \
  X(CACHE_EVICTIONS, "cache-evictions", "domains evicted while they were still good")                        \
  X(CACHE_DENIED_EVICTIONS, "cache-denied-evictions", "denials and failures evicted from their tenth")       \
  X(CACHE_EXPIRATIONS, "cache-expirations", "domains removed after their life")

enum stats_counter {
#define STATS_ENUM(id, name, text) STATS_##id,
  STATS_TABLE(STATS_ENUM)
#undef STATS_ENUM
      STATS_COUNT
};

struct stats {
  _Alignas(64) _Atomic uint64_t counters[STATS_COUNT];
  struct stats *next; /* of all threads; written once, by stats_register */
};
_Static_assert(sizeof(struct stats) % 64 == 0, "no cache line has the counters of two threads");

/* Adds one. Only the owning thread. Never a read-modify-write. */
static inline void stats_add(struct stats *stats, enum stats_counter counter) {
  uint64_t value = atomic_load_explicit(&stats->counters[counter], memory_order_relaxed);
  atomic_store_explicit(&stats->counters[counter], value + 1, memory_order_relaxed);
}

/* Adds a thread's counters to those that are summed. `stats` is lent until the
 * process ends or stats_forget_all. Any thread. */
void stats_register(struct stats *stats);

/* Forgets every registered set, so that they can be freed. No thread may count. */
void stats_forget_all(void);

/* The sum over all threads. Any thread; the values of counters that move while
 * they are summed may be a moment old. */
uint64_t stats_sum(enum stats_counter counter);

/* The counter's name and what it counts; static storage. */
const char *stats_name(enum stats_counter counter);
const char *stats_text(enum stats_counter counter);

#endif
