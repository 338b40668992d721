#include "store/appraise.h"

#include <hiredis/hiredis.h>

#include "redis/rediserror.h"

static enum stats_counter counter_of(enum record_status status) {
  switch (status) {
  case RECORD_TOO_LONG:
    return STATS_STORE_TOO_LONG;
  case RECORD_NO_RECORD:
    return STATS_STORE_NO_RECORD;
  case RECORD_UNKNOWN_VERSION:
    return STATS_STORE_UNKNOWN_VERSION;
  case RECORD_BAD_CHECKSUM:
    return STATS_STORE_CORRUPT;
  case RECORD_BAD_MAC:
    return STATS_STORE_BAD_MAC;
  case RECORD_WRONG_NAME:
    return STATS_STORE_WRONG_NAME;
  case RECORD_FROM_FUTURE:
    return STATS_STORE_SKEWED;
  case RECORD_EXPIRED:
    return STATS_STORE_EXPIRED;
  case RECORD_GOOD:
  case RECORD_IMPOSSIBLE:
  case RECORD_STATUS_COUNT:
    break;
  }
  return STATS_STORE_IMPOSSIBLE;
}

const char *appraise_reason(enum stats_counter counter) {
  static const char *const reasons[STATS_COUNT] = {
      [STATS_STORE_ERRORS] = "its server answers with an error",
      [STATS_STORE_TOO_LONG] = "its value is longer than any of ours",
      [STATS_STORE_NO_RECORD] = "its value is none of mxway",
      [STATS_STORE_UNKNOWN_VERSION] = "its value is of another version of mxway",
      [STATS_STORE_CORRUPT] = "the checksum of its value is wrong",
      [STATS_STORE_BAD_MAC] = "its value is not sealed with a key of redis-mac-key-file",
      [STATS_STORE_WRONG_NAME] = "its value is about another name",
      [STATS_STORE_IMPOSSIBLE] = "mxway cannot have written its value",
      [STATS_STORE_SKEWED] = "its value is from over a minute in the future, so a clock is wrong",
      [STATS_STORE_EXPIRED] = "its value is too old even for a stale answer",
      [STATS_STORE_PURGED] = "its value is from before a purge",
  };
  return reasons[counter];
}

static enum appraisal appraise_value(const struct redisReply *reply, const struct appraise_expected *expected,
                                     const struct image_time *time, struct record *record,
                                     enum stats_counter *counter) {
  enum record_status status = record_parse((const uint8_t *)reply->str, reply->len, expected->kind,
                                           expected->name, expected->key, expected->seal, time, record);
  bool is_purged =
      status == RECORD_GOOD && expected->is_purged && expected->is_purged(expected->context, record);
  *counter = is_purged ? STATS_STORE_PURGED : counter_of(status);
  return status == RECORD_GOOD && !is_purged ? APPRAISED_FACTS : APPRAISED_REFUSED;
}

enum appraisal appraise_reply(const struct redisReply *reply, const struct appraise_expected *expected,
                              const struct image_time *time, struct record *record,
                              enum stats_counter *counter) {
  if (reply->type == REDIS_REPLY_NIL)
    return APPRAISED_NOTHING;
  if (reply->type == REDIS_REPLY_STRING)
    return appraise_value(reply, expected, time, record, counter);
  bool is_error = reply->type == REDIS_REPLY_ERROR;
  bool is_other_type = is_error && rediserror_parse(reply->str, reply->len) == REDISERROR_WRONGTYPE;
  *counter = is_other_type ? STATS_STORE_NO_RECORD : STATS_STORE_ERRORS;
  return is_other_type ? APPRAISED_REFUSED : APPRAISED_ERROR;
}
