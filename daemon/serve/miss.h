/*
 * miss: a request on its way through the resolver thread and back.
 *
 * Made by a frontend, mailed to the resolver, asked there, its reply packed there while the facts are
 * lent, and mailed home. Where its client has gone meanwhile it is called back: the resolver forgets the
 * question, the lookup goes on and fills the cache. The story of an explained request
 * lives in the resolver's thread alone.
 *
 * Invariants: a miss belongs to the thread whose mailbox it was sent to last; it is freed by its frontend
 * when every mail of it has come home; a recalled miss gives no reply.
 */
#ifndef MXWAY_DAEMON_MISS_H
#define MXWAY_DAEMON_MISS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "cache/pinned.h"
#include "resolve/resolver.h"
#include "rules/route.h"
#include "serve/server.h"

struct miss;

struct miss_mail {
  struct mail mail; /* first: a mail of these mailboxes is one */
  struct miss *miss;
};

struct miss {
  struct miss_mail asked, recalled;
  /* Of the request, constant on the way. */
  struct question question;
  bool explain;
  bool is_refresh; /* nobody waits: there is no reply */
  uint64_t id;
  const struct wishes *wishes;       /* behind this struct in its block; NULL: none */
  const struct pin *pin;             /* the configured route, or NULL; with it */
  struct domain_facts *pinned_facts; /* behind the wishes, what question.pinned points at */
  const struct route_policy *policy;
  struct mailbox *home;
  /* The frontend's. */
  struct connection_ref connection;
  struct miss *next, **link; /* among those of one connection; NULL: in no list */
  unsigned away_count;       /* mails that are not home */
  bool is_recalled;
  /* What it brings home. */
  uint8_t *reply; /* malloc block; NULL without memory or recalled */
  size_t reply_length;
};

/* ---- in the frontend's thread ---- */

/* A zeroed miss with a copy of `wishes` (NULL: none) and room for the facts of `pin` (NULL: none) for the
 * caller to fill; NULL without memory. */
struct miss *miss_create(const struct wishes *wishes, const struct pin *pin);

/* Makes its question, whose name is set, one for the addresses of its configured route. */
void miss_pin(struct miss *miss, int64_t now_ms);

/* Adds it to the list that begins at `*first`. */
void miss_link(struct miss *miss, struct miss **first);

/* Sends it to the resolver. */
void miss_send(struct miss *miss, struct mailbox *resolver);

/* Calls back every miss of the list that begins at `*first`, and empties it. */
void miss_recall_all(struct miss **first, struct mailbox *resolver);

/* Takes a mail that has come home: the miss, out of its list, if it is all there, else NULL. */
struct miss *miss_take(struct mail *mail);

void miss_destroy(struct miss *miss);

/* ---- in the resolver's thread ---- */

/* Takes a mail: asks its question, or takes that back. */
void miss_arrive(struct resolver *resolver, struct mail *mail, int64_t now_ms);

/* The resolver's resolver_answer_fn; the context is unused. */
resolver_answer_fn miss_on_answer;

/* ---- in neither: no thread runs any more ---- */

/* A mailbox_fn for mails that nobody will take. The context is unused. */
void miss_drop(void *context, struct mail *mail);

#endif
