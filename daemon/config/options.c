#include "config/options.h"

/* Each gives of struct setting what stands between its name and its sentence. */
#define PATH(field, text)                                                                                    \
  SETTING_PATH, offsetof(struct config, field), 0, text, 1, CONFIG_PATH_SIZE - 1, "", { 0 }
#define PATH_OR_NONE(field, text)                                                                            \
  SETTING_PATH, offsetof(struct config, field), 0, text, 0, CONFIG_PATH_SIZE - 1, "", { 0 }
#define MODE(field, text)                                                                                    \
  SETTING_MODE, offsetof(struct config, field), 0, text, 0, 0777, "", { 0 }
#define NUMBER(field, text, min, max, unit)                                                                  \
  SETTING_NUMBER, offsetof(struct config, field), 0, text, min, max, unit, { 0 }
#define SIZE(field, text, min)                                                                               \
  SETTING_SIZE, offsetof(struct config, field), 0, text, min, INT64_MAX, "", { 0 }
#define CHOICE(field, off, on)                                                                               \
  SETTING_CHOICE, offsetof(struct config, field), 0, off, 0, 0, "", { off, on }
#define LEVEL(field, text)                                                                                   \
  SETTING_LEVEL, offsetof(struct config, field), 0, text, 0, 0, "", { 0 }
#define WORD(field, text, min)                                                                               \
  SETTING_WORD, offsetof(struct config, field), 0, text, min, sizeof(((struct config *)NULL)->field) - 1,    \
      "", {                                                                                                  \
    0                                                                                                        \
  }
#define ENUM(field, text, ...)                                                                               \
  SETTING_ENUM, offsetof(struct config, field), 0, text, 0, 0, "", { __VA_ARGS__ }
#define TARGET(field)                                                                                        \
  SETTING_TARGET, offsetof(struct config, field), 0, "", 0, 0, "", { 0 }
#define LIST(type, field, count, most)                                                                       \
  type, offsetof(struct config, field), offsetof(struct config, count), "", 0, most, "", { 0 }

const struct setting options_table[OPTIONS_COUNT] = {
    {"listen", PATH(listen, "/run/mxway/lookup.sock"), "Path of the Unix socket that answers lookups."},
    {"listen-mode", MODE(listen_mode, "0666"), "Permission bits of that socket: who may ask."},
    {"control", PATH_OR_NONE(control, "/run/mxway/control.sock"),
     "Path of the Unix socket for mxway stats, show, purge, dump and load. Empty: none."},
    {"control-mode", MODE(control_mode, "0600"), "Permission bits of that socket: who may control."},
    {"frontends", NUMBER(frontends, "1", 1, 64, ""), "Threads that answer from memory."},
    {"max-connections", NUMBER(max_connections, "4096", 1, 100000, ""),
     "Clients connected at once; more are turned away."},
    {"upstream", LIST(SETTING_SERVERS, upstreams, upstream_count, CONFIG_UPSTREAM_MAX),
     "DNS servers to ask, the first choice first. Without one: those of resolv-conf."},
    {"resolv-conf", PATH(resolv_conf, "/etc/resolv.conf"),
     "The file that names the DNS servers where upstream does not; changes of it are taken up."},
    {"cache-size", SIZE(cache_size_bytes, "64MiB", 1 << 20), "Memory for what the DNS said."},
    {"snapshot-file", PATH_OR_NONE(snapshot_file, ""),
     "File in which memory outlives the daemon: read at its start, written at its end. Empty: none."},
    {"snapshot-interval", NUMBER(snapshot_interval_s, "300", 0, 86400, " s"),
     "The file is also written so often. 0: only at the end."},
    {"min-ttl", NUMBER(min_ttl_s, "0", 0, 3600, " s"),
     "Routes live at least this long, whatever their TTL says. 0 honours the TTL."},
    {"max-ttl", NUMBER(max_ttl_s, "86400", 60, 604800, " s"), "Routes live at most this long."},
    {"max-negative-ttl", NUMBER(max_negative_ttl_s, "3600", 0, 10800, " s"),
     "Denials (no such domain, no such record) live at most this long."},
    {"failure-ttl", NUMBER(failure_ttl_s, "5", 1, 300, " s"),
     "A failed lookup is remembered this long before the DNS is asked again."},
    {"max-failure-ttl", NUMBER(max_failure_ttl_s, "300", 1, 300, " s"),
     "Each further failure in a row is remembered twice as long, up to this."},
    {"max-stale", NUMBER(max_stale_s, "86400", 0, 259200, " s"),
     "Routes that expired at most this long ago are answered while the DNS fails or is late. 0: never."},
    {"stale-after", NUMBER(stale_after_ms, "1800", 0, 60000, " ms"),
     "How long a client waits for the DNS before it is answered from an expired route."},
    {"prefetch", NUMBER(prefetch_percent, "10", 0, 50, " percent"),
     "A hit in this last part of a route's life asks for it anew, ahead of its end. 0: never."},
    {"lookup-deadline", NUMBER(lookup_deadline_ms, "5000", 200, 60000, " ms"),
     "Every lookup is answered within this time, whatever the DNS does."},
    {"query-timeout", NUMBER(query_timeout_ms, "800", 50, 60000, " ms"),
     "How long one DNS query waits for its reply."},
    {"query-case", CHOICE(plain_case, "random", "plain"),
     "Letters of the names asked for: random makes forged replies far less likely to pass."},
    {"trust-ad", CHOICE(trust_ad, "no", "yes"),
     "Believe servers beyond loopback, too, that say they have validated a reply (the AD bit)."},
    {"query-tries", NUMBER(query_tries, "3", 1, 10, ""),
     "Tries for one question, one after the other, before it fails, over all servers."},
    {"max-cname-hops", NUMBER(max_cname_hops, "8", 1, 16, ""), "Aliases followed from one name."},
    {"max-queries", NUMBER(max_queries, "1024", 1, 65536, ""), "DNS queries under way at once."},
    {"max-queue", NUMBER(max_queue, "65536", 0, 1000000, ""),
     "Lookups that wait behind those; more are answered OVERLOAD."},
    {"accept-bare-ip", CHOICE(accept_bare_ip, "no", "yes"),
     "Take 192.0.2.1 and 2001:db8::1 without brackets for address literals."},
    {"allow-single-label", CHOICE(allow_single_label, "no", "yes"), "Look up names without a dot."},
    {"special-use", CHOICE(resolve_special_use, "refuse", "resolve"),
     "What to do with .invalid, .localhost, .local, .onion and .alt, which the DNS does not have."},
    {"notimp-as-nodata", CHOICE(notimp_as_nodata, "no", "yes"),
     "Take the reply NOTIMP for \"no such record\" rather than for a failure."},
    {"defer-no-address", CHOICE(defer_no_address, "no", "yes"),
     "Call MX_HOSTS_NO_ADDRESS transient, so that senders try again."},
    {"mx-cname", CHOICE(reject_mx_cname, "follow", "reject"),
     "What to do with an exchange that is an alias, which RFC 2181 section 10.3 forbids."},
    {"mx-address", CHOICE(reject_mx_address, "accept", "reject"),
     "What to do with an exchange that is an address rather than a name."},
    {"null-mx-mixed", CHOICE(strict_null_mx_mixed, "drop", "strict"),
     "A null MX beside real exchanges: drop it and use those, or be strict and take no mail to be meant."},
    {"family", ENUM(families, "any", "any", "v4", "v6", "v4-first", "v6-first"),
     "Which addresses are answered, and in what order, where the request leaves it open."},
    {"self-name", LIST(SETTING_NAMES, self_names, self_name_count, CONFIG_SELF_NAMES_MAX),
     "Names of this mail system: exchanges at and behind itself are left out for every sender."},
    {"self-address", LIST(SETTING_ADDRESSES, self_addresses, self_address_count, CONFIG_SELF_ADDRESSES_MAX),
     "The same by address."},
    {"drop-private", CHOICE(drop_private, "no", "yes"),
     "Leave out private, shared and link-local addresses, as loopback and multicast ones are always."},
    {"allow-address", LIST(SETTING_PREFIXES, allow, allow_count, CONFIG_ALLOW_MAX),
     "Networks whose addresses are never left out for what they are."},
    {"redis", LIST(SETTING_TARGETS, redis_targets, redis_count, CONFIG_REDIS_MAX),
     "The Redis server that the daemons of a cluster share; sentinels, or nodes of a Redis Cluster. None: no "
     "sharing."},
    {"redis-topology", ENUM(redis_topology, "single", "single", "sentinel", "cluster"),
     "What redis names: the server itself, sentinels that know it, or nodes of a Redis Cluster."},
    {"redis-master", WORD(redis_master, "", 0), "The name that the sentinels know the server by."},
    {"redis-read", TARGET(redis_read),
     "Another server to read from, such as a replica on this machine. Empty: none."},
    {"redis-user", WORD(redis_user, "", 0), "The user that Redis knows mxwayd by. Empty: the default user."},
    {"redis-password-file", PATH_OR_NONE(redis_password_file, ""),
     "File with the password, which others must not be able to read. Empty: no password."},
    {"redis-sentinel-user", WORD(redis_sentinel_user, "", 0), "The user for the sentinels."},
    {"redis-sentinel-password-file", PATH_OR_NONE(redis_sentinel_password_file, ""),
     "File with the password for the sentinels."},
    {"redis-database", NUMBER(redis_database, "0", 0, 9999, ""), "The database of the server to use."},
    {"redis-tls", CHOICE(redis_tls, "no", "yes"), "Speak TLS (1.2 or newer) with Redis."},
    {"redis-tls-ca", PATH_OR_NONE(redis_tls_ca, ""),
     "File of the CA certificates that servers are checked against. Empty: those of the system."},
    {"redis-tls-cert", PATH_OR_NONE(redis_tls_cert, ""), "File of the certificate to show to servers."},
    {"redis-tls-key", PATH_OR_NONE(redis_tls_key, ""), "File of its key."},
    {"redis-tls-name", WORD(redis_tls_name, "", 0),
     "The name that the certificates of servers must be for. Empty: that of redis or the address."},
    {"redis-mode", ENUM(redis_mode, "rw", "rw", "ro", "off"),
     "Whether Redis is read and written, only read, or left alone."},
    {"redis-prefix", WORD(redis_prefix, "mxway", 1), "How all keys begin: letters, digits and . _ - alone."},
    {"redis-cluster-name", WORD(redis_cluster_name, "", 0),
     "Daemons share with those of the same name alone: it stands in each key behind the prefix; letters, "
     "digits and . _ -."},
    {"redis-mac-key-file", PATH_OR_NONE(redis_mac_key_file, ""),
     "File with a key: what does not bear its MAC is not believed. Empty: whoever can write to Redis is."},
    {"redis-timeout", NUMBER(redis_timeout_ms, "30", 1, 1000, " ms"),
     "How long a lookup may wait for Redis."},
    {"redis-head-start", NUMBER(redis_head_start_ms, "10", 0, 1000, " ms"),
     "After this the DNS is asked beside it, and the first good answer wins."},
    {"redis-max-commands", NUMBER(redis_max_commands, "1000", 1, 65536, ""),
     "Commands without an answer at once; more lookups go straight to the DNS."},
    {"redis-max-writes", NUMBER(redis_max_writes, "8192", 16, 1000000, ""),
     "Writes that wait for Redis; of more the oldest are dropped."},
    {"redis-lease", NUMBER(redis_lease_ms, "50", 0, 1000, " ms"),
     "How long a lookup waits for the daemon that asks the DNS for all. 0: each asks for itself."},
    {"redis-warm-start", NUMBER(redis_warm_start, "0", 0, 100000, " reads/s"),
     "At the start read what Redis holds into memory, this fast. 0: do not."},
    {"node-name", WORD(node_name, "", 0), "What this daemon calls itself in Redis. Empty: the host's name."},
    {"log-level", LEVEL(log_level, "info"), "The least important messages that are logged."},
};
