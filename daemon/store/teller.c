#include "store/teller.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "redis/rediserror.h"

struct told {
  uint64_t number; /* of the last purge in it */
  struct notice notice;
};

struct teller {
  struct fleet *fleet;
  struct teller_options options;
  struct stats *stats;
  struct told waiting[TELLER_WAITING_MAX]; /* a ring */
  size_t first, count;
  uint64_t number, told;   /* of the last that was put, and that was told */
  struct fleet_call *call; /* under way with the first; NULL: none */
  int64_t due_ms;          /* when the first is to be sent */
  uint32_t again_ms;       /* until the next try; 0: nothing has failed */
  char why[TELLER_WHY_SIZE];
};

/* ---- what waits ---- */

static struct told *waiting_at(struct teller *teller, size_t at) {
  return &teller->waiting[(teller->first + at) % TELLER_WAITING_MAX];
}

/* The last, where it may still change. */
static struct told *last_open(struct teller *teller) {
  bool is_sent = teller->count == 1 && teller->call;
  return teller->count == 0 || is_sent ? NULL : waiting_at(teller, teller->count - 1);
}

static struct notice *append(struct teller *teller, enum purge_what what) {
  if (teller->count == TELLER_WAITING_MAX) {
    teller->count = 1;
    what = PURGE_OF_ALL;
  }
  struct told *told = waiting_at(teller, teller->count++);
  notice_init(&told->notice, what);
  told->notice.origin = teller->options.origin;
  told->number = teller->number;
  return &told->notice;
}

/* Whether `told` says so already, or does now. */
static bool merge(struct told *told, enum purge_what what, const struct name *name) {
  struct notice *notice = &told->notice;
  if (notice->is_beginning)
    return false;
  if (notice->what == PURGE_OF_ALL)
    return true;
  return notice->what == what && (!name || (what == PURGE_OF_DOMAIN && notice_add(notice, name)));
}

uint64_t teller_put(struct teller *teller, enum purge_what what, const struct name *name) {
  struct told *last = last_open(teller);
  teller->number++;
  if (last && merge(last, what, name)) {
    last->number = teller->number;
  } else {
    struct notice *notice = append(teller, what);
    if (name && notice->what == what)
      notice_add(notice, name);
  }
  if (!teller->call) {
    teller->again_ms = 0;
    teller->due_ms = INT64_MIN;
  }
  return teller->number;
}

void teller_put_beginning(struct teller *teller, uint64_t followed) {
  for (size_t i = 0; i < teller->count; i++) {
    const struct notice *waiting = &waiting_at(teller, i)->notice;
    if (waiting->is_beginning && waiting->followed >= followed)
      return;
  }
  if (teller->count == TELLER_WAITING_MAX)
    return; /* it is wanted again where there is still none when they have been told */
  struct notice *notice = append(teller, PURGE_OF_ALL);
  notice->is_beginning = true;
  notice->followed = followed;
  if (!teller->call && teller->again_ms == 0)
    teller->due_ms = INT64_MIN;
}

enum teller_outcome teller_outcome(const struct teller *teller, uint64_t number, const char **why) {
  if (number <= teller->told)
    return TELLER_TOLD;
  if (teller->again_ms == 0)
    return TELLER_PENDING;
  *why = teller->why;
  return TELLER_LATER;
}

/* ---- telling ---- */

static void fail(struct teller *teller, const char *why, size_t length, int64_t now_ms) {
  uint32_t again_ms = teller->again_ms == 0 ? TELLER_AGAIN_MS : 2 * teller->again_ms;
  teller->again_ms = again_ms < TELLER_AGAIN_MOST_MS ? again_ms : TELLER_AGAIN_MOST_MS;
  teller->due_ms = now_ms + teller->again_ms;
  rediserror_quote(teller->why, TELLER_WHY_SIZE, why, length);
  stats_add(teller->stats, STATS_STORE_PURGES_UNTOLD);
}

static void ignore(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)context, (void)reply, (void)now_ms;
}

/* Has the others look. Where it fails, which the link logs, they look later, by themselves. */
static void ring(struct teller *teller) {
  const char *channel = teller->options.channel;
  const struct link_command command = {
      .count = 3, .words = {"PUBLISH", channel, "1"}, .lengths = {7, strlen(channel), 1}};
  fleet_send(teller->fleet, FLEET_WRITE, channel, strlen(channel), &command, TELLER_TIMEOUT_MS, ignore, NULL,
             NULL);
}

static void on_told(struct teller *teller, int64_t now_ms) {
  teller->told = waiting_at(teller, 0)->number;
  if (!waiting_at(teller, 0)->notice.is_beginning)
    stats_add(teller->stats, STATS_STORE_PURGES_TOLD);
  teller->first = (teller->first + 1) % TELLER_WAITING_MAX;
  teller->count--;
  teller->again_ms = 0;
  teller->due_ms = INT64_MIN;
  ring(teller);
  teller->options.look(teller->options.context, now_ms);
}

static void on_error(struct teller *teller, const struct redisReply *reply, int64_t now_ms) {
  fail(teller, reply->str, reply->len, now_ms);
  teller->options.look(teller->options.context, now_ms);
}

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  static const char silence[] = "Redis does not answer", nonsense[] = "Redis gives no number";
  struct teller *teller = context;
  teller->call = NULL;
  if (!reply)
    fail(teller, silence, sizeof(silence) - 1, now_ms);
  else if (reply->type == REDIS_REPLY_ERROR)
    on_error(teller, reply, now_ms);
  else if (reply->type != REDIS_REPLY_STRING)
    fail(teller, nonsense, sizeof(nonsense) - 1, now_ms);
  else
    on_told(teller, now_ms);
}

static int send_first(struct teller *teller) {
  const char *key = teller->options.key;
  uint8_t octets[NOTICE_MAX];
  char kept[12];
  struct notice *notice = &waiting_at(teller, 0)->notice;
  if (!notice->is_beginning)
    notice->followed = *teller->options.followed;
  size_t length = notice_pack(octets, notice, key, teller->options.seal);
  size_t kept_length = (size_t)snprintf(kept, sizeof(kept), "%d", NOTICE_KEPT);
  const struct link_command command = {.count = 7,
                                       .words = {"XADD", key, "MAXLEN", kept, "*", "n", (const char *)octets},
                                       .lengths = {4, strlen(key), 6, kept_length, 1, 1, length}};
  return fleet_send(teller->fleet, FLEET_WRITE, key, strlen(key), &command, TELLER_TIMEOUT_MS, on_reply,
                    teller, &teller->call);
}

void teller_run(struct teller *teller, int64_t now_ms) {
  if (teller->count == 0 || teller->call || now_ms < teller->due_ms)
    return;
  int error = send_first(teller);
  if (error == 0)
    return;
  struct fleet_view view;
  fleet_look(teller->fleet, &view);
  const char *why = error == ERR_NETWORK ? view.text : error_text(error);
  fail(teller, why, strlen(why), now_ms);
}

void teller_retry(struct teller *teller) {
  if (!teller->call)
    teller->due_ms = INT64_MIN;
}

int64_t teller_next_ms(const struct teller *teller) {
  return teller->count == 0 || teller->call ? INT64_MAX : teller->due_ms;
}

size_t teller_count(const struct teller *teller) { return teller->count; }

/* ---- the room ---- */

struct teller *teller_create(struct fleet *fleet, const struct teller_options *options, struct stats *stats) {
  struct teller *teller = calloc(1, sizeof(*teller));
  if (!teller)
    return NULL;
  teller->fleet = fleet;
  teller->options = *options;
  teller->stats = stats;
  return teller;
}

void teller_destroy(struct teller *teller) {
  if (!teller)
    return;
  if (teller->call)
    fleet_cancel(teller->call);
  free(teller);
}
