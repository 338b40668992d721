#include "serve/miss.h"

#include <stdlib.h>
#include <string.h>

#include "rules/explain.h"
#include "serve/reply.h"

/* ---- the frontend ---- */

struct miss *miss_create(const struct wishes *wishes, const struct pin *pin) {
  size_t wishes_size = (wishes_bytes(wishes) + 7) / 8 * 8; /* facts stand at a multiple of 8 */
  struct miss *miss = calloc(1, sizeof(*miss) + wishes_size + (pin ? PINNED_FACTS_SIZE : 0));
  if (!miss)
    return NULL;
  miss->asked.miss = miss->recalled.miss = miss;
  if (wishes)
    miss->wishes = memcpy(miss + 1, wishes, wishes_bytes(wishes));
  miss->pin = pin;
  if (pin)
    miss->pinned_facts = (struct domain_facts *)((char *)(miss + 1) + wishes_size);
  return miss;
}

void miss_pin(struct miss *miss, int64_t now_ms) {
  pinned_build_facts(miss->pin, &miss->question.name, now_ms, miss->pinned_facts);
  miss->question.pinned = miss->pinned_facts;
}

void miss_destroy(struct miss *miss) {
  if (!miss)
    return;
  story_unref(miss->question.story);
  free(miss->reply);
  free(miss);
}

void miss_link(struct miss *miss, struct miss **first) {
  miss->next = *first;
  miss->link = first;
  if (miss->next)
    miss->next->link = &miss->next;
  *first = miss;
}

static void unlink_miss(struct miss *miss) {
  if (!miss->link)
    return;
  *miss->link = miss->next;
  if (miss->next)
    miss->next->link = miss->link;
  miss->link = NULL;
}

static void mail_away(struct miss *miss, struct miss_mail *mail, struct mailbox *resolver) {
  miss->away_count++;
  mailbox_send(resolver, &mail->mail);
}

void miss_send(struct miss *miss, struct mailbox *resolver) { mail_away(miss, &miss->asked, resolver); }

void miss_recall_all(struct miss **first, struct mailbox *resolver) {
  while (*first) {
    struct miss *miss = *first;
    unlink_miss(miss);
    miss->is_recalled = true;
    mail_away(miss, &miss->recalled, resolver);
  }
}

struct miss *miss_take(struct mail *mail) {
  struct miss *miss = ((struct miss_mail *)mail)->miss;
  if (--miss->away_count > 0)
    return NULL;
  unlink_miss(miss);
  return miss;
}

/* ---- the resolver ---- */

/* Packs the answer while its facts are lent. Those of a configured route begin their life with the answer,
 * however long its addresses took. */
static size_t pack(struct miss *miss, const struct answer *answer, int64_t now_ms, uint8_t *bytes) {
  static _Thread_local struct random random;
  static _Thread_local struct route route;
  const struct question *question = &miss->question;
  const struct domain_facts *facts = answer->facts;
  enum source source = answer->from_memory ? SOURCE_MEMORY : answer->from_store ? SOURCE_SHARED : SOURCE_DNS;
  const struct decision remembered = {answer->verdict, SOURCE_MEMORY, 0, ""};
  if (!facts && answer->from_memory)
    return reply_build_decision(bytes, miss->id, &remembered, &question->name);
  if (!facts)
    return reply_build_verdict(bytes, miss->id, answer->verdict, &question->name, "");
  if (random.state == 0)
    random_init(&random);
  if (miss->pin) {
    miss_pin(miss, now_ms);
    facts = miss->pinned_facts;
    source = SOURCE_OVERRIDE;
  }
  const struct route_request wanted = {question->depth, question->no_stale, miss->wishes, question->story};
  route_build(facts, &wanted, miss->policy, answer->since_ms, now_ms, &random, &route);
  return reply_build_route(bytes, miss->id, source, &route);
}

/* What has just been learned is in the story of the lookup, but for how long a failure is remembered; who
 * joined one that was under way may not have that story. */
static void tell_learned(const struct question *question, const struct answer *answer, int64_t now_ms) {
  const struct domain_facts *facts = answer->facts;
  if (facts && !answer->from_memory && (question->has_joined || facts->kind == DOMAIN_FAILED))
    explain_memory(question->story, question->name.text, facts, question->depth, now_ms);
}

static void go_home(struct miss *miss) {
  story_unref(miss->question.story);
  miss->question.story = NULL;
  mailbox_send(miss->home, &miss->asked.mail);
}

void miss_on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context;
  static _Thread_local uint8_t bytes[REPLY_BYTES_MAX];
  struct miss *miss = (struct miss *)((char *)question - offsetof(struct miss, question));
  size_t length = pack(miss, answer, now_ms, bytes);
  tell_learned(question, answer, now_ms);
  miss->reply_length = length + reply_story_bytes(question->story);
  miss->reply = malloc(miss->reply_length);
  if (miss->reply)
    miss->reply_length = reply_add_story(miss->reply, bytes, length, question->story);
  go_home(miss);
}

static void tell_pin(const struct miss *miss) {
  char text[OVERRIDE_PATTERN_SIZE];
  if (miss->pin && miss->question.story)
    story_add(miss->question.story, "route",
              "the route configured for %s says where mail for %s goes: no MX query",
              override_pattern(miss->pin->override, text), miss->question.name.text);
}

static void ask(struct resolver *resolver, struct miss *miss, int64_t now_ms) {
  struct answer answer;
  if (miss->is_refresh) {
    const struct question *question = &miss->question;
    resolver_refresh(resolver, &question->name, question->hash, question->depth, now_ms);
    go_home(miss);
    return;
  }
  if (miss->explain)
    miss->question.story = story_create();
  tell_pin(miss);
  if (resolver_ask(resolver, &miss->question, now_ms, &answer))
    miss_on_answer(NULL, &miss->question, &answer, now_ms);
}

void miss_arrive(struct resolver *resolver, struct mail *mail, int64_t now_ms) {
  struct miss_mail *arrived = (struct miss_mail *)mail;
  struct miss *miss = arrived->miss;
  if (arrived == &miss->asked) {
    ask(resolver, miss, now_ms);
    return;
  }
  if (resolver_leave(resolver, &miss->question))
    go_home(miss);
  mailbox_send(miss->home, &miss->recalled.mail);
}

void miss_drop(void *context, struct mail *mail) {
  (void)context;
  miss_destroy(miss_take(mail));
}
