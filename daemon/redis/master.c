#include "redis/master.h"

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

struct master {
  struct ev_loop *loop;
  struct members *members;
  struct sentinel *sentinel;
  master_change_fn *on_change;
  void *context;
  struct member *current;   /* the last that has proved itself, or NULL */
  bool is_proved;           /* `current`, since its link came up last */
  struct member *candidate; /* `current` as well, or NULL */
  int64_t candidate_at_ms;
  struct link_call *role; /* asked of the candidate, or NULL */
  ev_timer deadline;      /* of the candidate */
  char complaint[64];     /* about the last candidate; "" where it has proved itself */
};

struct member *master_get(const struct master *master) {
  return master->is_proved && member_is_up(master->current) ? master->current : NULL;
}

static const char *reason_of(const struct member *member) {
  return member->reason[0] ? member->reason : "does not answer";
}

/* ---- candidates ---- */

static void stop_trial(struct master *master) {
  if (master->role)
    link_cancel(master->role);
  master->role = NULL;
  ev_timer_stop(master->loop, &master->deadline);
  if (master->candidate && master->candidate != master->current)
    member_retire(master->candidate);
  master->candidate = NULL;
}

static void try_member(struct master *master, struct member *member, int64_t now_ms);

static void reject(struct master *master, const char *why) {
  struct member *current = master->current, *rejected = master->candidate;
  snprintf(master->complaint, sizeof(master->complaint), "%s", why);
  stop_trial(master);
  sentinel_ask_again(master->sentinel);
  /* It may have come back while another one was on trial. */
  if (current && current != rejected && !master->is_proved && member_is_up(current))
    try_member(master, current, clock_now_ms());
}

static void accept(struct master *master) {
  struct member *old = master->current, *new = master->candidate;
  char text[LINK_TARGET_TEXT_SIZE];
  master->current = new;
  master->is_proved = true;
  stop_trial(master);
  master->complaint[0] = '\0';
  if (old != new) {
    log_notice("redis: the master is %s", link_target_text(&new->target, text));
    if (old)
      member_retire(old);
  }
  sentinel_believe(master->sentinel);
  master->on_change(master->context);
}

static void on_role(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)now_ms;
  struct master *master = context;
  master->role = NULL;
  const redisReply *role =
      reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 ? reply->element[0] : NULL;
  if (!reply)
    reject(master, "does not say its role");
  else if (reply->type == REDIS_REPLY_ERROR)
    reject(master, reply->str);
  else if (!role || role->type != REDIS_REPLY_STRING || strcmp(role->str, "master") != 0)
    reject(master, "is no master");
  else
    accept(master);
}

static void ask_role(struct master *master) {
  static const struct link_command command = {.count = 1, .words = {"ROLE"}, .lengths = {4}};
  if (master->role)
    return;
  int error = link_send(master->candidate->link, &command, MASTER_PROOF_MS, on_role, master, &master->role);
  if (error != 0) {
    master->role = NULL;
    reject(master, error_text(error));
  }
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct master *master = timer->data;
  reject(master, reason_of(master->candidate));
}

static void try_member(struct master *master, struct member *member, int64_t now_ms) {
  if (master->candidate != member)
    stop_trial(master);
  master->candidate = member;
  master->candidate_at_ms = now_ms;
  ev_timer_set(&master->deadline, MASTER_PROOF_MS / 1000., 0.);
  ev_timer_start(master->loop, &master->deadline);
  if (member_is_up(member))
    ask_role(master);
  else if (link_state(member->link) == LINK_DOWN)
    reject(master, reason_of(member));
}

static void on_named(void *context, const struct link_target *target, int64_t now_ms) {
  struct master *master = context;
  struct member *proved = master_get(master), *candidate = master->candidate;
  if (proved && link_target_is_same(&proved->target, target)) {
    sentinel_believe(master->sentinel); /* whatever is on trial: if it is the master, it will prove it */
    return;
  }
  if (candidate &&
      (link_target_is_same(&candidate->target, target) || now_ms < master->candidate_at_ms + MASTER_TRIAL_MS))
    return; /* its trial is under way, and ends with a question where it fails */
  struct member *member = member_get(master->members, target);
  if (!member) {
    reject(master, error_text(ERR_OVERLOAD));
    return;
  }
  try_member(master, member, now_ms);
}

/* ---- what happens ---- */

static void lose(struct master *master) {
  bool was_proved = master->is_proved;
  master->is_proved = false;
  if (was_proved)
    master->on_change(master->context);
}

void master_on_member(struct master *master, struct member *member, enum link_state state) {
  if (member == master->current && state != LINK_UP)
    lose(master);
  if (member == master->candidate) {
    if (state == LINK_UP)
      ask_role(master);
    else if (state == LINK_DOWN)
      reject(master, reason_of(member));
  } else if (member == master->current) {
    if (state == LINK_UP && !master->candidate)
      try_member(master, member, clock_now_ms());
    else if (state == LINK_DOWN)
      sentinel_ask_again(master->sentinel);
  }
}

void master_doubt(struct master *master, const struct member *member) {
  if (member != master->current || !master->is_proved)
    return;
  snprintf(master->complaint, sizeof(master->complaint), "is read-only");
  lose(master);
  sentinel_ask_again(master->sentinel);
}

size_t master_sentinel_count(const struct master *master) { return sentinel_up_count(master->sentinel); }

const char *master_complaint(const struct master *master, char text[MASTER_TEXT_SIZE]) {
  const char *of_sentinel = sentinel_complaint(master->sentinel);
  if (of_sentinel[0])
    snprintf(text, MASTER_TEXT_SIZE, "%s", of_sentinel);
  else if (master->complaint[0])
    snprintf(text, MASTER_TEXT_SIZE, "the server that a sentinel names: %s", master->complaint);
  else
    snprintf(text, MASTER_TEXT_SIZE, "no master yet");
  return text;
}

/* ---- life ---- */

int master_create(struct ev_loop *loop, struct members *members, const struct sentinel_options *options,
                  master_change_fn *on_change, void *context, struct master **result) {
  struct master *master = calloc(1, sizeof(*master));
  if (!master)
    return ERR_NOMEM;
  master->loop = loop;
  master->members = members;
  master->on_change = on_change;
  master->context = context;
  ev_timer_init(&master->deadline, on_deadline, 0., 0.);
  master->deadline.data = master;
  int error = sentinel_create(loop, options, on_named, master, &master->sentinel);
  if (error != 0) {
    free(master);
    return error;
  }
  *result = master;
  return 0;
}

void master_destroy(struct master *master) {
  if (!master)
    return;
  sentinel_destroy(master->sentinel);
  stop_trial(master);
  free(master);
}
