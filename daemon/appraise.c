#include "appraise.h"

#include <hiredis/hiredis.h>

#include "rediserror.h"

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
