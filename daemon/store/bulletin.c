#include "store/bulletin.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "redis/rediserror.h"
#include "store/followed.h"
#include "store/purged.h"

struct bulletin {
  struct fleet *fleet;
  struct store *store;
  struct stats *stats;
  struct bulletin_options options;
  struct bulletin_calls calls;
  uint64_t origin;
  struct purged *purged;
  struct purged *untold; /* by this node: not in the list yet, or not seen there; whatever the generation */
  struct teller *teller; /* NULL: read_only */
  uint64_t at;           /* the entry of the list that was read last; 0: it is read from its beginning */
  struct followed followed; /* its generation is that of what is written */
  uint64_t written;         /* what the store has been told of that */
  bool has_floor;           /* `purged` knows how far the list goes back */
  bool saw_nothing;         /* there was no list */
  bool is_open;             /* the store */
  int64_t open_by_ms;       /* it is opened then at the latest; INT64_MAX: there is no server yet */
  bool needs_all;           /* all memory is to be purged, when `all_from_ms` is over */
  int64_t all_from_ms;
  /* Reading. */
  struct fleet_call *call; /* NULL: none under way */
  bool looks_again;
  int64_t look_ms;     /* when it is read next; INT64_MAX: not before bulletin_start */
  bool wants_deletion; /* of the list */
  int64_t delete_ms;   /* it is not deleted again before */
  int64_t refused_log_ms, missed_log_ms;
};

/* ---- numbers ---- */

/* The generation of an entry's number, "1700000000000-0"; 0 where it is beyond all sense. */
static uint64_t read_id(const char *text, size_t length) {
  uint64_t parts[2] = {0, 0};
  int at = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '-' && at == 0 && i > 0) {
      at = 1;
      continue;
    }
    if (text[i] < '0' || text[i] > '9' || parts[at] >= UINT64_C(1) << BULLETIN_TIME_BITS)
      return 0;
    parts[at] = 10 * parts[at] + (uint64_t)(text[i] - '0');
  }
  if (at == 0 || parts[0] >> BULLETIN_TIME_BITS || parts[1] >> BULLETIN_SEQUENCE_BITS)
    return 0;
  return parts[0] << BULLETIN_SEQUENCE_BITS | parts[1];
}

static size_t write_id(char id[BULLETIN_NUMBER_SIZE], uint64_t generation) {
  return (size_t)snprintf(id, BULLETIN_NUMBER_SIZE, "%" PRIu64 "-%" PRIu64,
                          generation >> BULLETIN_SEQUENCE_BITS,
                          generation & ((UINT64_C(1) << BULLETIN_SEQUENCE_BITS) - 1));
}

/* ---- reading ---- */

static void on_page(void *context, const struct redisReply *reply, int64_t now_ms);

static void ignore(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)context, (void)reply, (void)now_ms;
}

/* Deletes the list, where that is wanted. */
static void delete_list(struct bulletin *bulletin, int64_t now_ms) {
  const char *key = bulletin->options.key;
  const struct link_command command = {.count = 2, .words = {"DEL", key}, .lengths = {3, strlen(key)}};
  if (!bulletin->wants_deletion || fleet_send(bulletin->fleet, FLEET_WRITE, key, strlen(key), &command,
                                              TELLER_TIMEOUT_MS, ignore, NULL, NULL) != 0)
    return;
  log_warning("deleting %s, which somebody else has written to", key);
  bulletin->wants_deletion = false;
  bulletin->delete_ms = now_ms + BULLETIN_ALL_MS;
}

/* Reads on from the last entry, that one included, or from the beginning. */
static void look(struct bulletin *bulletin, int64_t now_ms) {
  char start[BULLETIN_NUMBER_SIZE] = "-", page[12];
  if (!bulletin->calls.purge)
    return; /* bulletin_start is still to come */
  if (bulletin->call) {
    bulletin->looks_again = true;
    return;
  }
  size_t start_length = bulletin->at ? write_id(start, bulletin->at) : 1;
  size_t page_length = (size_t)snprintf(page, sizeof(page), "%d", BULLETIN_PAGE + 1);
  const struct link_command command = {
      .count = 6,
      .words = {"XRANGE", bulletin->options.key, start, "+", "COUNT", page},
      .lengths = {6, strlen(bulletin->options.key), start_length, 1, 5, page_length}};
  bulletin->look_ms = now_ms + (bulletin->is_open ? BULLETIN_AGAIN_MS : BULLETIN_FIRST_MS);
  delete_list(bulletin, now_ms);
  /* Of the master, which has what was told: a replica may not have it yet. */
  fleet_send(bulletin->fleet, FLEET_WRITE, bulletin->options.key, strlen(bulletin->options.key), &command,
             TELLER_TIMEOUT_MS, on_page, bulletin, &bulletin->call);
}

/* Reads the whole list: `at` is not in it any more. */
static void begin_anew(struct bulletin *bulletin, int64_t now_ms) {
  bulletin->at = 0;
  followed_begin(&bulletin->followed);
  look(bulletin, now_ms);
}

/* ---- following ---- */

static void refuse(struct bulletin *bulletin, const char *why, int64_t now_ms) {
  stats_add(bulletin->stats, STATS_STORE_PURGES_REFUSED);
  if (log_is_due(&bulletin->refused_log_ms, now_ms))
    log_warning("a purge in %s is not followed: %s", bulletin->options.key, why);
}

/* The octets of an entry's only field, or NULL. */
static const redisReply *octets_of(const redisReply *entry) {
  const redisReply *fields = entry->element[1];
  if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
      fields->element[0]->type != REDIS_REPLY_STRING || fields->element[1]->type != REDIS_REPLY_STRING)
    return NULL;
  return fields->element[0]->len == 1 && fields->element[0]->str[0] == 'n' ? fields->element[1] : NULL;
}

static void purge_memory(struct bulletin *bulletin, const struct notice *notice) {
  struct name name;
  size_t at = 0;
  stats_add(bulletin->stats, STATS_STORE_PURGES_HEARD);
  if (notice->what > PURGE_OF_EXCHANGE)
    bulletin->calls.purge(bulletin->calls.context, notice->what, NULL);
  while (notice_next(notice, &at, &name))
    bulletin->calls.purge(bulletin->calls.context, notice->what, &name);
}

/* The notice of an entry. False where it is none. */
static bool read_notice(struct bulletin *bulletin, const redisReply *entry, struct notice *notice,
                        int64_t now_ms) {
  const redisReply *octets = octets_of(entry);
  if (!octets) {
    refuse(bulletin, "it has other fields", now_ms);
    return false;
  }
  enum notice_status status = notice_parse((const uint8_t *)octets->str, octets->len, bulletin->options.key,
                                           bulletin->options.seal, notice);
  if (status != NOTICE_GOOD)
    refuse(bulletin, notice_status_text(status), now_ms);
  return status == NOTICE_GOOD;
}

static void follow(struct bulletin *bulletin, const redisReply *entry, uint64_t number, int64_t now_ms) {
  struct notice notice;
  uint64_t generation;
  bool is_notice = read_notice(bulletin, entry, &notice, now_ms);
  bool is_for_memory =
      followed_take(&bulletin->followed, number, is_notice ? &notice : NULL, bulletin->origin, &generation);
  if (is_notice)
    purged_put(bulletin->purged, &notice, generation);
  if (is_for_memory)
    purge_memory(bulletin, &notice);
}

/* All memory, where that is wanted and may be. */
static void purge_all(struct bulletin *bulletin, int64_t now_ms) {
  if (!bulletin->needs_all || now_ms < bulletin->all_from_ms)
    return;
  bulletin->needs_all = false;
  bulletin->all_from_ms = now_ms + BULLETIN_ALL_MS;
  bulletin->calls.purge(bulletin->calls.context, PURGE_OF_ALL, NULL);
}

/* Nobody knows what memory has not followed, nor what was purged of the store. */
static void on_missed(struct bulletin *bulletin, int64_t now_ms) {
  stats_add(bulletin->stats, STATS_STORE_PURGES_MISSED);
  if (log_is_due(&bulletin->missed_log_ms, now_ms))
    log_notice("purges of other nodes were missed: all of the memory is purged, once a minute at most");
  purged_reset(bulletin->purged, bulletin->followed.generation);
  bulletin->needs_all = true;
  purge_all(bulletin, now_ms);
}

static void on_unknown_age(struct bulletin *bulletin) {
  log_notice("which purges came after what was in memory at the start is not known: all of it is purged");
  bulletin->calls.purge(bulletin->calls.context, PURGE_OF_ALL, NULL);
}

static void settle(struct bulletin *bulletin) {
  if (!bulletin->needs_all)
    bulletin->calls.settled(bulletin->calls.context, bulletin->followed.generation);
}

/* It is known what has been purged, or that nobody will say. */
static void open_store(struct bulletin *bulletin) {
  if (!bulletin->is_open)
    store_set_open(bulletin->store, true);
  bulletin->is_open = true;
}

/* Not for ever: the server of a cluster that has the list may be gone, while others do well. */
static void wait_for_list(struct bulletin *bulletin, int64_t now_ms) {
  if (bulletin->open_by_ms == INT64_MAX && fleet_is_up(bulletin->fleet, FLEET_READ))
    bulletin->open_by_ms = now_ms + BULLETIN_WAIT_MS;
  if (now_ms >= bulletin->open_by_ms)
    open_store(bulletin);
}

static void rest(struct bulletin *bulletin, int64_t now_ms) {
  bulletin->look_ms = now_ms + (bulletin->looks_again ? BULLETIN_PAUSE_MS : BULLETIN_LOOK_MS);
  bulletin->looks_again = false;
}

/* The end of the list has been read. */
static void on_end(struct bulletin *bulletin, int64_t now_ms) {
  uint64_t lost;
  switch (followed_end(&bulletin->followed, &lost)) {
  case FOLLOWED_ALL:
    break;
  case FOLLOWED_NOT_ALL:
    on_missed(bulletin, now_ms);
    break;
  case FOLLOWED_UNKNOWN_AGE:
    on_unknown_age(bulletin);
    break;
  }
  if (lost && bulletin->teller)
    teller_put_beginning(bulletin->teller, lost);
  if (bulletin->written != bulletin->followed.generation)
    store_set_generation(bulletin->store, bulletin->followed.generation);
  bulletin->written = bulletin->followed.generation;
  if (!bulletin->teller) /* nor will be: what others write from the next purge on is as new as need be */
    purged_lower(bulletin->untold, bulletin->followed.generation + 1);
  else if (teller_count(bulletin->teller) == 0)
    purged_reset(bulletin->untold, 0);
  open_store(bulletin);
  settle(bulletin);
  rest(bulletin, now_ms);
}

/* There is no list. What was followed of one that was lost is known, and who knows less is told so. */
static void on_nothing(struct bulletin *bulletin, int64_t now_ms) {
  if (bulletin->saw_nothing || !bulletin->teller) /* and none could be begun */
    open_store(bulletin);
  bulletin->saw_nothing = true;
  if (bulletin->teller)
    teller_put_beginning(bulletin->teller, bulletin->followed.number);
  rest(bulletin, now_ms);
}

/* An entry that no mxway has put there, and behind which none of ours can be found. The list is deleted as
 * soon as there is a connection: that may have ended with it. */
static void on_nonsense(struct bulletin *bulletin, const char *why, int64_t now_ms) {
  refuse(bulletin, why, now_ms);
  bulletin->looks_again = false;
  bulletin->look_ms = now_ms + BULLETIN_AGAIN_MS;
  bulletin->wants_deletion = !bulletin->options.read_only && now_ms >= bulletin->delete_ms;
  delete_list(bulletin, now_ms);
}

/* The generation of an entry of a page; 0 where it is none, or not behind `before`. */
static uint64_t number_of(const redisReply *entry, uint64_t before) {
  if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
      entry->element[0]->type != REDIS_REPLY_STRING)
    return 0;
  uint64_t number = read_id(entry->element[0]->str, entry->element[0]->len);
  return number > before ? number : 0;
}

/* Follows the entries of a page. False where there is one that makes no sense. */
static bool follow_page(struct bulletin *bulletin, const redisReply *page, int64_t now_ms) {
  size_t first = bulletin->at ? 1 : 0; /* that one is known */
  uint64_t last = bulletin->at;
  for (size_t i = first; i < page->elements; i++)
    if ((last = number_of(page->element[i], last)) == 0)
      return false;
  if (!bulletin->has_floor) /* of what was purged before the first of them nothing is known */
    purged_reset(bulletin->purged, number_of(page->element[0], 0));
  bulletin->has_floor = true;
  for (size_t i = first; i < page->elements; i++) {
    bulletin->at = number_of(page->element[i], 0);
    follow(bulletin, page->element[i], bulletin->at, now_ms);
  }
  return true;
}

static void on_failure(struct bulletin *bulletin, bool is_answered, int64_t now_ms) {
  bulletin->looks_again = false;
  bulletin->look_ms = now_ms + (is_answered ? BULLETIN_LOOK_MS : BULLETIN_AGAIN_MS);
  if (!is_answered)
    return;
  stats_add(bulletin->stats, STATS_STORE_ERRORS);
  open_store(bulletin);
}

static void on_page(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct bulletin *bulletin = context;
  bulletin->call = NULL;
  if (reply && reply->type == REDIS_REPLY_ERROR &&
      rediserror_parse(reply->str, reply->len) == REDISERROR_TOOLARGE) {
    on_nonsense(bulletin, "it is larger than all of ours together", now_ms);
    return;
  }
  if (!reply || reply->type != REDIS_REPLY_ARRAY) {
    on_failure(bulletin, reply != NULL, now_ms);
    return;
  }
  bool is_there = reply->elements > 0 && (!bulletin->at || number_of(reply->element[0], 0) == bulletin->at);
  if (!is_there && bulletin->at) {
    begin_anew(bulletin, now_ms);
  } else if (!is_there) {
    on_nothing(bulletin, now_ms);
  } else if (!follow_page(bulletin, reply, now_ms)) {
    on_nonsense(bulletin, "its number is beyond all sense", now_ms);
  } else if (reply->elements > BULLETIN_PAGE) {
    look(bulletin, now_ms);
  } else {
    on_end(bulletin, now_ms);
  }
}

/* ---- the subscription ---- */

static void on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  (void)message, (void)length;
  look(context, now_ms);
}

static void on_up(void *context, int64_t now_ms) {
  struct bulletin *bulletin = context;
  if (bulletin->teller)
    teller_retry(bulletin->teller);
  look(bulletin, now_ms);
}

/* ---- telling ---- */

static void on_list(void *context, int64_t now_ms) { look(context, now_ms); }

uint64_t bulletin_tell(struct bulletin *bulletin, enum purge_what what, const struct name *name) {
  if (!bulletin)
    return 0;
  /* Until it has its number: what is in the store now counts as purged. */
  purged_put_name(bulletin->untold, what, name, UINT64_MAX);
  return bulletin->teller ? teller_put(bulletin->teller, what, name) : 0;
}

enum bulletin_outcome bulletin_outcome(const struct bulletin *bulletin, uint64_t number, const char **why) {
  if (!bulletin)
    return BULLETIN_OFF;
  if (!bulletin->teller)
    return BULLETIN_READ_ONLY;
  switch (teller_outcome(bulletin->teller, number, why)) {
  case TELLER_PENDING:
    return BULLETIN_PENDING;
  case TELLER_TOLD:
    return BULLETIN_TOLD;
  case TELLER_LATER:
    break;
  }
  return BULLETIN_LATER;
}

/* ---- running ---- */

void bulletin_run(struct bulletin *bulletin, int64_t now_ms) {
  if (bulletin->needs_all && now_ms >= bulletin->all_from_ms) {
    purge_all(bulletin, now_ms);
    settle(bulletin);
  }
  if (!bulletin->is_open && bulletin->calls.purge)
    wait_for_list(bulletin, now_ms);
  if (!bulletin->call && now_ms >= bulletin->look_ms)
    look(bulletin, now_ms);
  if (bulletin->teller)
    teller_run(bulletin->teller, now_ms);
}

static int64_t earlier(int64_t one_ms, int64_t other_ms) { return one_ms < other_ms ? one_ms : other_ms; }

int64_t bulletin_next_ms(const struct bulletin *bulletin) {
  int64_t next_ms = bulletin->call ? INT64_MAX : bulletin->look_ms;
  if (bulletin->needs_all)
    next_ms = earlier(next_ms, bulletin->all_from_ms);
  return bulletin->teller ? earlier(next_ms, teller_next_ms(bulletin->teller)) : next_ms;
}

void bulletin_look(const struct bulletin *bulletin, struct bulletin_view *view) {
  *view = (struct bulletin_view){0};
  if (!bulletin)
    return;
  view->generation = bulletin->followed.generation;
  if (view->generation)
    write_id(view->followed, view->generation);
  view->untold_count = bulletin->teller ? teller_count(bulletin->teller) : 0;
}

/* ---- the room ---- */

/* What is newer than what this node has read was written by who is ahead. */
static bool is_purged(void *context, const struct record *record) {
  const struct bulletin *bulletin = context;
  return (bulletin->followed.generation && record->generation > bulletin->followed.generation) ||
         purged_has(bulletin->purged, record) || purged_has(bulletin->untold, record);
}

int bulletin_create(struct fleet *fleet, struct store *store, const struct bulletin_options *options,
                    struct stats *stats, struct bulletin **result) {
  struct bulletin *bulletin = calloc(1, sizeof(*bulletin));
  if (!bulletin)
    return ERR_NOMEM;
  bulletin->fleet = fleet;
  bulletin->store = store;
  bulletin->stats = stats;
  bulletin->options = *options;
  bulletin->look_ms = bulletin->open_by_ms = INT64_MAX;
  bulletin->all_from_ms = bulletin->delete_ms = INT64_MIN;
  random_bytes(&bulletin->origin, sizeof(bulletin->origin));
  const struct teller_options telling = {.key = options->key,
                                         .channel = options->channel,
                                         .seal = options->seal,
                                         .origin = bulletin->origin,
                                         .followed = &bulletin->followed.number,
                                         .look = on_list,
                                         .context = bulletin};
  bulletin->purged = purged_create();
  bulletin->untold = purged_create();
  bulletin->teller = options->read_only ? NULL : teller_create(fleet, &telling, stats);
  if (!bulletin->purged || !bulletin->untold || !(bulletin->teller || options->read_only)) {
    bulletin_destroy(bulletin);
    return ERR_NOMEM;
  }
  store_set_purged(store, is_purged, bulletin);
  *result = bulletin;
  return 0;
}

void bulletin_destroy(struct bulletin *bulletin) {
  if (!bulletin)
    return;
  if (bulletin->call)
    fleet_cancel(bulletin->call);
  teller_destroy(bulletin->teller);
  purged_destroy(bulletin->purged);
  purged_destroy(bulletin->untold);
  free(bulletin);
}

int bulletin_start(struct bulletin *bulletin, const struct bulletin_calls *calls, uint64_t generation,
                   int64_t wall_ms) {
  uint64_t fresh_from = 0;
  if (wall_ms > 0)
    fresh_from = wall_ms > BULLETIN_MARGIN_MS ? (uint64_t)(wall_ms - BULLETIN_MARGIN_MS) : 1;
  bulletin->calls = *calls;
  followed_init(&bulletin->followed, generation, fresh_from << BULLETIN_SEQUENCE_BITS);
  bulletin->written = generation;
  bulletin->look_ms = INT64_MIN;
  store_set_open(bulletin->store, false);
  store_set_generation(bulletin->store, generation);
  return fleet_subscribe(bulletin->fleet, bulletin->options.channel, on_message, on_up, bulletin);
}
