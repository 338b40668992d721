#include "redis/members.h"

#include <assert.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct members {
  struct ev_loop *loop;
  struct link_options options;
  member_change_fn *on_change;
  void *context;
  ev_timer reap; /* a link must not be destroyed where it tells its state */
  struct member *first;
  size_t count;
};

static void on_state(void *context, enum link_state state, const char *reason) {
  struct member *member = context;
  if (state == LINK_UP)
    member->reason[0] = '\0';
  else if (reason && reason[0])
    snprintf(member->reason, sizeof(member->reason), "%s", reason);
  if (!member->is_retired)
    member->all->on_change(member->all->context, member, state);
}

static void reap_soon(struct members *members) { ev_timer_start(members->loop, &members->reap); }

static void close_member(struct member *member) {
  link_destroy(member->link);
  free(member);
}

static void on_reap(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct members *members = timer->data;
  for (struct member **at = &members->first, *member; (member = *at);) {
    if (member->is_retired && member->hold_count == 0) {
      *at = member->next;
      members->count--;
      close_member(member);
    } else {
      at = &member->next;
    }
  }
}

static struct member *open_member(struct members *members, const struct link_target *target) {
  struct member *member = calloc(1, sizeof(*member));
  if (!member)
    return NULL;
  struct link_options options = members->options;
  options.target = *target;
  member->all = members;
  member->target = *target;
  member->used_at_ms = INT64_MIN / 2; /* never */
  if (link_create(members->loop, &options, on_state, member, &member->link) != 0) {
    free(member);
    return NULL;
  }
  member->next = members->first;
  members->first = member;
  members->count++;
  return member;
}

struct member *member_get(struct members *members, const struct link_target *target) {
  for (struct member *member = members->first; member; member = member->next)
    if (link_target_is_same(&member->target, target)) {
      member->is_retired = false;
      return member;
    }
  return members->count < MEMBERS_MAX ? open_member(members, target) : NULL;
}

void member_retire(struct member *member) {
  member->is_retired = true;
  reap_soon(member->all);
}

void member_hold(struct member *member) { member->hold_count++; }

void member_release(struct member *member) {
  assert(member->hold_count > 0);
  member->hold_count--;
  if (member->is_retired && member->hold_count == 0)
    reap_soon(member->all);
}

bool member_is_up(const struct member *member) { return link_state(member->link) == LINK_UP; }

struct member *members_first(const struct members *members) {
  return members->first;
}

int members_create(struct ev_loop *loop, const struct link_options *options, member_change_fn *on_change,
                   void *context, struct members **result) {
  struct members *members = calloc(1, sizeof(*members));
  if (!members)
    return ERR_NOMEM;
  members->loop = loop;
  members->options = *options;
  members->on_change = on_change;
  members->context = context;
  ev_timer_init(&members->reap, on_reap, 0., 0.);
  members->reap.data = members;
  *result = members;
  return 0;
}

void members_destroy(struct members *members) {
  if (!members)
    return;
  ev_timer_stop(members->loop, &members->reap);
  while (members->first) {
    struct member *member = members->first;
    members->first = member->next;
    close_member(member);
  }
  free(members);
}
