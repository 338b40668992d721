/*
 * resolvconf: notices when resolv.conf names other servers than before.
 *
 * Looks when it is told to: the path is often a symbolic link to a file that another program replaces,
 * and what tells of changes by itself (inotify, ev_stat) sees those of the link alone. A file that is gone,
 * or names no server, is being written, or somebody's mistake: what was known stays.
 *
 * One thread. Reads files.
 */
#ifndef MXWAY_DAEMON_RESOLVCONF_H
#define MXWAY_DAEMON_RESOLVCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "config/config.h"

/* A file at one look; zeroed: none. */
struct resolvconf_file {
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec changed; /* moves with every change; wall time, compared only with itself */
};

struct resolvconf {
  const char *path; /* lent */
  size_t count;     /* of the servers last known */
  struct config_upstream upstreams[CONFIG_UPSTREAM_MAX];
  struct resolvconf_file seen;
};

/* Knows the servers of `config`, whose path is lent. */
void resolvconf_init(struct resolvconf *resolvconf, const struct config *config);

/* Looks. True: `upstreams` are others than before. Logs changes, also one that cannot be used. Costs one
 * stat(2) where nothing has changed. */
bool resolvconf_look(struct resolvconf *resolvconf);

#endif
