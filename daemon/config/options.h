/*
 * options: what can be configured: the fields of struct config, and the table of the options that fill them.
 *
 * The table (name, type, default, range, sentence) is all that is said of an option in the code; config reads
 * and prints by it. No function here.
 */
#ifndef MXWAY_DAEMON_OPTIONS_H
#define MXWAY_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/secret.h"
#include "config/setting.h"
#include "redis/link_target.h"
#include "rules/override.h"
#include "rules/wishes.h"

enum {
  CONFIG_UPSTREAM_MAX = 8,
  CONFIG_SELF_NAMES_MAX = 12,
  CONFIG_SELF_ADDRESSES_MAX = 32,
  CONFIG_ALLOW_MAX = 32,
  CONFIG_REDIS_MAX = 16,
  CONFIG_WORD_SIZE = 64,
  CONFIG_KEY_PART_SIZE = 33,
  CONFIG_NAME_SIZE = 254,
  CONFIG_PATH_SIZE = 108,
};

/* In the order of their words. */
enum config_topology { CONFIG_SINGLE, CONFIG_SENTINEL, CONFIG_CLUSTER };
enum config_redis_mode { CONFIG_REDIS_RW, CONFIG_REDIS_RO, CONFIG_REDIS_OFF };

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
  size_t redis_count;                                 /* 0: no shared store, and nothing of it runs */
  struct link_target redis_targets[CONFIG_REDIS_MAX]; /* with their ports after config_complete */
  enum config_topology redis_topology;
  char redis_master[CONFIG_WORD_SIZE]; /* the name that the sentinels know it by */
  struct link_target redis_read;       /* none: the server */
  char redis_user[CONFIG_WORD_SIZE], redis_password_file[CONFIG_PATH_SIZE];
  char redis_sentinel_user[CONFIG_WORD_SIZE], redis_sentinel_password_file[CONFIG_PATH_SIZE];
  char redis_password[SECRET_SIZE], redis_sentinel_password[SECRET_SIZE]; /* of those files */
  uint32_t redis_database;
  bool redis_tls;
  char redis_tls_ca[CONFIG_PATH_SIZE], redis_tls_cert[CONFIG_PATH_SIZE], redis_tls_key[CONFIG_PATH_SIZE];
  char redis_tls_name[CONFIG_NAME_SIZE];
  enum config_redis_mode redis_mode;
  char redis_prefix[CONFIG_KEY_PART_SIZE], redis_cluster_name[CONFIG_KEY_PART_SIZE];
  char redis_mac_key_file[CONFIG_PATH_SIZE]; /* "": no MAC */
  uint32_t redis_timeout_ms, redis_head_start_ms;
  uint32_t redis_max_commands;      /* without an answer */
  uint32_t redis_max_writes;        /* waiting */
  uint32_t redis_lease_ms;          /* 0: none */
  uint32_t redis_warm_start;        /* reads a second; 0: none */
  char node_name[CONFIG_WORD_SIZE]; /* after config_complete: not empty */
  enum log_level log_level;
  struct override_list routes; /* owned: config_fini */
};

enum { OPTIONS_COUNT = 66 };
extern const struct setting options_table[OPTIONS_COUNT];

#endif
