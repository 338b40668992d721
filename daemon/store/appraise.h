/*
 * appraise: what the answer to GET is worth.
 *
 * A value of the shared store comes from others, or from whoever could write there. It is facts, or a reason
 * why it is none, which has a counter of its own (record_status, or that it has been purged). Pure.
 */
#ifndef MXWAY_DAEMON_APPRAISE_H
#define MXWAY_DAEMON_APPRAISE_H

#include "base/stats.h"
#include "cache/image.h"
#include "store/record.h"

struct redisReply; /* hiredis/hiredis.h */

enum appraisal {
  APPRAISED_FACTS,   /* as record_parse has them, fresh or expired */
  APPRAISED_NOTHING, /* there is no value */
  APPRAISED_REFUSED, /* there is one, and it cannot be used */
  APPRAISED_ERROR,   /* the server has not said what it holds */
};

/* Whether facts have been purged since they were written. */
typedef bool appraise_purged_fn(void *context, const struct record *record);

/* What the value has to be about; all lent. */
struct appraise_expected {
  enum record_kind kind;
  const char *name;              /* terminated, as `key` is */
  const char *key;               /* that it lies under */
  const struct seal *seal;       /* NULL: none */
  appraise_purged_fn *is_purged; /* NULL: nothing has been */
  void *context;                 /* of is_purged */
};

/* Appraises `reply`. FACTS fills `record`, else it is undefined; REFUSED and ERROR give the counter. */
enum appraisal appraise_reply(const struct redisReply *reply, const struct appraise_expected *expected,
                              const struct image_time *time, struct record *record,
                              enum stats_counter *counter);

/* Why there is nothing of use, by a counter that appraise_reply gives: a clause for people. */
const char *appraise_reason(enum stats_counter counter);

#endif
