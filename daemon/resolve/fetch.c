#include "resolve/fetch.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"

static bool is_under_way(const struct fetch *fetch) {
  if (fetch->read)
    return true;
  for (size_t i = 0; i < fetch->part_count; i++)
    if (fetch->parts[i].state == FETCH_ASKED)
      return true;
  return false;
}

/* ---- the DNS ---- */

static chase_done_fn on_chased;

static int ask_part(struct fetch *fetch, struct fetch_part *part) {
  const struct dns_question question = {fetch->name, part->qtype, fetch->priority, fetch->story};
  part->fetch = fetch;
  int error = chase_start(&part->chase, fetch->ways->dns, &question, fetch->ways->max_cname_hops, on_chased);
  if (error == 0)
    part->state = FETCH_ASKED;
  else
    story_add(fetch->story, "L2", "too much to do: the %s of %s are not asked for",
              fetch->kind == RECORD_HOST ? "addresses" : "MX records", fetch->name);
  return error;
}

/* A failure that is told when the store has had its say. */
static void keep_failure(struct fetch_part *part, enum dns_result result, enum dnsmsg_outcome outcome) {
  part->state = FETCH_FAILED;
  part->result = result;
  part->outcome = outcome;
}

/* Asks for all that the DNS has not been asked for. Returns 0, or the error of the last that it would not
 * take, which counts as a failure. */
static int ask_dns(struct fetch *fetch) {
  int error = 0;
  for (size_t i = 0; i < fetch->part_count; i++) {
    struct fetch_part *part = &fetch->parts[i];
    int refusal = part->state == FETCH_WANTED ? ask_part(fetch, part) : 0;
    if (refusal == 0)
      continue;
    error = refusal;
    keep_failure(part, DNS_SHED, DNSMSG_OTHER_RCODE);
  }
  return error;
}

static void tell_failure(struct fetch *fetch, size_t at, int64_t now_ms) {
  struct fetch_part *part = &fetch->parts[at];
  const struct chase_end end = {
      .result = part->result, .outcome = part->outcome, .alias_ttl_s = UINT32_MAX, .canonical = fetch->name};
  part->state = FETCH_ENDED;
  fetch->calls->on_part(fetch, at, &end, now_ms);
}

/* Ends the fetch where nothing better is to come. */
static void end_if_over(struct fetch *fetch, int64_t now_ms) {
  bool has_failed = false;
  for (size_t i = 0; i < fetch->part_count; i++) {
    enum fetch_state state = fetch->parts[i].state;
    if (state == FETCH_WANTED || state == FETCH_ASKED)
      return;
    has_failed |= state == FETCH_FAILED;
  }
  if (has_failed && fetch->read)
    return;
  for (size_t i = 0; i < fetch->part_count; i++)
    if (fetch->parts[i].state == FETCH_FAILED)
      tell_failure(fetch, i, now_ms);
  if (fetch->read) {
    story_add(fetch->story, "C1", "the DNS was first: the shared store is not waited for");
    store_cancel(fetch->read);
    fetch->read = NULL;
  }
  fetch->calls->on_done(fetch, now_ms);
}

static void on_chased(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  struct fetch_part *part = (struct fetch_part *)((char *)chase - offsetof(struct fetch_part, chase));
  struct fetch *fetch = part->fetch;
  if (fetch->read && learn_failure(fetch->ways->policy, end)) {
    story_add(fetch->story, "C1", "the DNS has failed; the shared store may still know");
    keep_failure(part, end->result, end->outcome);
  } else {
    part->state = FETCH_ENDED;
    fetch->calls->on_part(fetch, (size_t)(part - fetch->parts), end, now_ms);
  }
  end_if_over(fetch, now_ms);
}

/* ---- the store ---- */

static void tell_record(const struct fetch *fetch, const struct record *record, bool is_enough,
                        int64_t now_ms) {
  if (!fetch->story)
    return;
  int64_t left_s = (record->expires_at_ms - now_ms) / 1000, age_s = (now_ms - record->created_at_ms) / 1000;
  const char *origin = record->origin[0] ? record->origin : "some node";
  const char *verdict = is_enough ? "" : ", which is not enough";
  if (record->expires_at_ms > now_ms)
    story_add(fetch->story, "C1",
              "the shared store knows %s: %s learned it %" PRId64 " s ago, good for %" PRId64
              " s more by the DNS%s",
              fetch->name, origin, age_s, left_s, verdict);
  else
    story_add(fetch->story, "C1",
              "the shared store knows %s: %s learned it %" PRId64 " s ago, it expired %" PRId64
              " s ago by the DNS%s",
              fetch->name, origin, age_s, -left_s, verdict);
}

static bool on_value(void *context, const struct record *record, int64_t now_ms) {
  struct fetch *fetch = context;
  bool is_enough = fetch->calls->suffices(fetch, record, now_ms);
  tell_record(fetch, record, is_enough, now_ms);
  return is_enough;
}

static void on_refused(void *context, const char *why) {
  const struct fetch *fetch = context;
  story_add(fetch->story, "C4", "the shared store has nothing of use about %s: %s", fetch->name, why);
}

static void on_late(void *context, int64_t now_ms) {
  struct fetch *fetch = context;
  (void)now_ms;
  story_add(fetch->story, "C1", "the shared store is late: the DNS is asked beside it");
  ask_dns(fetch);
}

static void on_store_done(void *context, enum store_outcome outcome, const struct record *record,
                          int64_t now_ms) {
  struct fetch *fetch = context;
  fetch->read = NULL;
  switch (outcome) {
  case STORE_FOUND:
    for (size_t i = 0; i < fetch->part_count; i++)
      if (fetch->parts[i].state != FETCH_ENDED)
        fetch_settle(fetch, i);
    fetch->may_hold_lease = false;
    fetch->calls->on_shared(fetch, record, now_ms);
    return;
  case STORE_MISSING:
    story_add(fetch->story, "C1", "the shared store has no answer for %s", fetch->name);
    break;
  case STORE_AWAY:
    story_add(fetch->story, "C1", "the shared store does not answer");
    break;
  }
  ask_dns(fetch);
  end_if_over(fetch, now_ms);
}

/* Returns whether the store is being asked. */
static bool ask_store(struct fetch *fetch, int64_t now_ms) {
  static const struct store_calls calls = {on_value, on_refused, on_late, on_store_done};
  if (!fetch->ways->store)
    return false;
  const struct store_question question = {
      .kind = fetch->kind, .name = fetch->name, .length = fetch->length, .wants_lease = true};
  if (store_get(fetch->ways->store, &question, now_ms, &calls, fetch, &fetch->read) != 0) {
    fetch->read = NULL;
    story_add(fetch->story, "C1", "the shared store is away");
    return false;
  }
  fetch->may_hold_lease = true;
  story_add(fetch->story, "C1", "asks the shared store for %s", fetch->name);
  return true;
}

/* ---- the owner ---- */

int fetch_start(struct fetch *fetch, unsigned wanted, bool from_store, int64_t now_ms) {
  assert(!is_under_way(fetch));
  fetch->may_hold_lease = false;
  for (size_t i = 0; i < fetch->part_count; i++)
    fetch->parts[i].state = wanted >> i & 1 ? FETCH_WANTED : FETCH_IDLE;
  if (from_store && ask_store(fetch, now_ms))
    return 0;
  int error = ask_dns(fetch);
  return is_under_way(fetch) ? 0 : error;
}

int fetch_insist(struct fetch *fetch) {
  int error = 0;
  for (size_t i = 0; i < fetch->part_count; i++) {
    struct fetch_part *part = &fetch->parts[i];
    bool is_asked = part->state == FETCH_ASKED || part->state == FETCH_ENDED;
    int refusal = is_asked ? 0 : ask_part(fetch, part);
    if (refusal != 0)
      error = refusal;
  }
  if (error == 0 && fetch->read) {
    store_cancel(fetch->read);
    fetch->read = NULL;
  }
  return error;
}

void fetch_settle(struct fetch *fetch, size_t part) {
  chase_cancel(&fetch->parts[part].chase);
  fetch->parts[part].state = FETCH_SETTLED;
}

void fetch_promote(struct fetch *fetch, enum dns_priority priority) {
  if (priority < fetch->priority)
    fetch->priority = priority;
  for (size_t i = 0; i < fetch->part_count; i++)
    chase_promote(&fetch->parts[i].chase, priority);
}

void fetch_share(struct fetch *fetch, struct record *record, int64_t now_ms) {
  struct store *store = fetch->ways->store;
  if (store && record) {
    record->kind = fetch->kind;
    memcpy(record->name, fetch->name, fetch->length + 1);
    story_add(fetch->story, "C2", "shared with the cluster: what the DNS said of %s", fetch->name);
    store_put(store, record, now_ms);
  } else if (fetch->may_hold_lease) {
    store_release(store, fetch->kind, fetch->name, fetch->length, now_ms);
  }
  fetch->may_hold_lease = false;
}

bool fetch_is_sent(const struct fetch *fetch) {
  for (size_t i = 0; i < fetch->part_count; i++) {
    const struct fetch_part *part = &fetch->parts[i];
    if (part->state == FETCH_FAILED ? part->result != DNS_SHED : chase_is_sent(&part->chase))
      return true;
  }
  return false;
}

void fetch_cancel(struct fetch *fetch) {
  if (fetch->read)
    store_cancel(fetch->read);
  fetch->read = NULL;
  for (size_t i = 0; i < fetch->part_count; i++) {
    chase_cancel(&fetch->parts[i].chase);
    fetch->parts[i].state = FETCH_IDLE;
  }
}
