/*
 * site: what domains have in common whose mail goes the same way (ROUTING section 6).
 *
 * A site is the list of exchanges, seen neutrally: levels by their rank rather than by the number of the
 * preference, the hosts of a level sorted, whether the MX was implicit.
 *
 * `id` is XXH3-128, in canonical form and without a seed, of this encoding: an octet 1 for an implicit
 * MX or 0; then for each level, the best first, each host (lower-case A-labels, no trailing dot) in the
 * order of its octets with a NUL behind it, and behind the level another NUL. It is the same in every
 * process, version and byte order.
 *
 * `name` is for people and for configuration by name; it is the roll-up name of KumoMTA. The hosts in the
 * order of (preference, name) are split at their dots; counted from the top-level label each position
 * collects its distinct labels as they are first seen; one prints bare, several as (a|b|c), a position that
 * some host does not have gets a ? behind it. A name that would be longer than SITE_NAME_MAX octets keeps as
 * many positions from the top-level label on as there is room for behind "~" and the id in hexadecimal.
 *
 * Pure. Cost: the octets of the hosts; bounded by SITE_NAME_MAX where many labels differ.
 */
#ifndef MXWAY_DAEMON_SITE_H
#define MXWAY_DAEMON_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"

enum { SITE_NAME_MAX = 512, SITE_HOSTS_MAX = 100 };

struct site_host {
  uint16_t preference;
  const char *name; /* lent for the call; no empty label */
};

struct site {
  uint8_t id[DIGEST_LENGTH];
  uint16_t name_length;
  char name[SITE_NAME_MAX]; /* not terminated */
};

/* Describes `count` (1 to SITE_HOSTS_MAX) hosts, sorted by preference then name, none twice. */
void site_build(const struct site_host hosts[], uint16_t count, bool implicit, struct site *site);

#endif
