/*
 * config: the options of mxwayd, from one table.
 *
 * The table in config.c (name, type, default, range, sentence) gives the
 * parser of the file (conffile), of `-o name=value`, the checks,
 * `--print-config`, `--help` and the manual page. Configured routes (override) stand beside the
 * table. A struct config is immutable once parsed. An error names the file and line (or "-o"), the option,
 * the value and what was expected.
 */
#ifndef MXWAY_DAEMON_CONFIG_H
#define MXWAY_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "address.h"
#include "log.h"
#include "override.h"
#include "wishes.h"

enum {
  CONFIG_UPSTREAM_MAX = 8,
  CONFIG_SELF_NAMES_MAX = 12,
  CONFIG_SELF_ADDRESSES_MAX = 32,
  CONFIG_ALLOW_MAX = 32,
  CONFIG_NAME_SIZE = 254,
  CONFIG_PATH_SIZE = 108,
  CONFIG_ERROR_SIZE = 512,
};

struct config_upstream {
  struct sockaddr_storage address; /* AF_INET or AF_INET6, with port */
};

struct config {
  char listen[CONFIG_PATH_SIZE];  /* path of the lookup socket */
  uint32_t listen_mode;           /* permission bits of the socket file */
  char control[CONFIG_PATH_SIZE]; /* path of the control socket; "": none */
  uint32_t control_mode;
  uint32_t frontends;       /* threads that answer, 1-64 */
  uint32_t max_connections; /* clients at once, over all frontends */
  size_t upstream_count;    /* after config_resolve_upstreams: >= 1 */
  struct config_upstream upstreams[CONFIG_UPSTREAM_MAX];
  bool follows_resolv_conf; /* the servers are those of that file, also when it changes */
  char resolv_conf[CONFIG_PATH_SIZE];
  uint64_t cache_size_bytes;
  char snapshot_file[CONFIG_PATH_SIZE]; /* "": none */
  uint32_t snapshot_interval_s;         /* 0: only at the end */
  uint32_t min_ttl_s, max_ttl_s, max_negative_ttl_s, failure_ttl_s, max_failure_ttl_s;
  uint32_t max_stale_s; /* 0: never answer stale */
  uint32_t stale_after_ms;
  uint32_t prefetch_percent; /* 0: never refresh ahead */
  uint32_t lookup_deadline_ms;
  uint32_t query_timeout_ms; /* one try */
  uint32_t query_tries;
  uint32_t max_cname_hops; /* 1-16 */
  uint32_t max_queries;    /* in flight upstream */
  uint32_t max_queue;      /* waiting behind them */
  bool plain_case;         /* query-case plain */
  bool trust_ad;
  bool accept_bare_ip, allow_single_label;
  bool resolve_special_use; /* special-use resolve */
  bool notimp_as_nodata, defer_no_address;
  bool reject_mx_cname;      /* mx-cname reject */
  bool reject_mx_address;    /* mx-address reject */
  bool strict_null_mx_mixed; /* null-mx-mixed strict */
  enum families families;
  size_t self_name_count, self_address_count;
  char self_names[CONFIG_SELF_NAMES_MAX][CONFIG_NAME_SIZE];        /* canonical */
  struct address_prefix self_addresses[CONFIG_SELF_ADDRESSES_MAX]; /* of 128 bits */
  bool drop_private;
  size_t allow_count;
  struct address_prefix allow[CONFIG_ALLOW_MAX];
  enum log_level log_level;
  struct override_list routes; /* owned: config_fini */
};

/* The defaults of the table. upstream_count is 0: resolv.conf decides. */
void config_init(struct config *config);

/* Frees what `*config` owns. */
void config_fini(struct config *config);

/* Reads `path` over `*config`. Of two settings of one option the last wins; two routes for one
 * pattern are an error. Returns 0;
 * or ERR_CONFIG with `*config` untouched and a message without newline in `error`.
 * One file at a time in a process, as conffile says. */
int config_parse_file(struct config *config, const char *path, char error[CONFIG_ERROR_SIZE]);

/* Sets one option from "name=value", or a route from "route PATTERN=VALUE", over one for the same
 * pattern (the command line's -o). A list option
 * (upstream, self-name, ...) is replaced by the first -o that names it after `config` came from
 * defaults or a file, and extended by the later ones; `value` may be several
 * separated by commas. `seen` is a caller's zeroed word that remembers which
 * lists were replaced. Returns 0 or ERR_CONFIG, as config_parse_file. */
int config_parse_assignment(struct config *config, const char *assignment, uint64_t *seen,
                            char error[CONFIG_ERROR_SIZE]);

/* Checks what concerns two options (min-ttl <= max-ttl, failure-ttl <= max-failure-ttl, query-timeout <=
 * lookup-deadline). Returns 0 or ERR_CONFIG. */
int config_check(const struct config *config, char error[CONFIG_ERROR_SIZE]);

/* Without an upstream takes the `nameserver` lines of `config->resolv_conf`, or 127.0.0.1 and ::1 as
 * resolv.conf(5) says where there are none or no file. */
void config_resolve_upstreams(struct config *config);

/* Reads the `nameserver` lines of a file in the format of resolv.conf(5): port 53 unless one names
 * another, at most CONFIG_UPSTREAM_MAX. Returns how many there are; logs a line that is none. */
size_t config_read_resolv_conf(const char *path, struct config_upstream upstreams[CONFIG_UPSTREAM_MAX]);

/* Prints every option with its value in effect, each behind its sentence, default and
 * range as comments: a file that config_parse_file reads to the same config. */
void config_print(const struct config *config, FILE *out);

/* Prints the table for --help: name, type or range, default, sentence. */
void config_print_help(FILE *out);

/* "127.0.0.1:53", "[2001:db8::1]:53" of `upstream`; into `text`, returned. */
const char *config_upstream_text(const struct config_upstream *upstream, char text[ADDRESS_TEXT_SIZE]);

#endif
