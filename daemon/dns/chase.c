#include "dns/chase.h"

#include <inttypes.h>
#include <string.h>

static void on_reply(void *context, enum dns_result result, const struct dnsmsg *message, int64_t now_ms);

static int ask(struct chase *chase) {
  const struct dns_question question = {chase->name, chase->qtype, chase->priority, chase->story};
  return dns_ask(chase->dns, &question, on_reply, chase, &chase->query);
}

/* Goes on at the alias where the reply ends; false where there is no way on. */
static bool follow(struct chase *chase, const struct dnsmsg *message) {
  story_add(chase->story, "V13, V14 (RFC 2181 10.1)",
            "%s leads to %s, about which the reply is silent: asks on", chase->name, message->canonical);
  memcpy(chase->name, message->canonical, sizeof(chase->name));
  return ask(chase) == 0;
}

static void on_reply(void *context, enum dns_result result, const struct dnsmsg *message, int64_t now_ms) {
  struct chase *chase = context;
  chase->query = NULL;
  struct chase_end end = {.result = result, .alias_ttl_s = chase->ttl_s, .canonical = chase->name};
  if (result == DNS_REPLIED) {
    chase->hops += message->hops;
    chase->authentic = chase->authentic && message->authentic;
    if (message->ttl_s < chase->ttl_s)
      chase->ttl_s = message->ttl_s;
    bool too_far = chase->hops > chase->max_hops || message->outcome == DNSMSG_LOOP;
    if (too_far)
      story_add(chase->story, "V13, V14", "the aliases of this name loop, or are more than %" PRIu32,
                chase->max_hops);
    if (message->outcome == DNSMSG_FOLLOW && !too_far) {
      if (follow(chase, message))
        return;
      end.result = DNS_SHED;
    }
    end.outcome = too_far ? DNSMSG_LOOP : message->outcome;
    end.alias_ttl_s = chase->ttl_s;
    end.canonical = message->canonical;
    end.message = message;
    end.authentic = chase->authentic;
  }
  end.is_alias = chase->hops > 0;
  chase->done(chase, &end, now_ms);
}

int chase_start(struct chase *chase, struct dns *dns, const struct dns_question *question, uint32_t max_hops,
                chase_done_fn *done) {
  *chase = (struct chase){.dns = dns,
                          .done = done,
                          .max_hops = max_hops,
                          .ttl_s = UINT32_MAX,
                          .authentic = true,
                          .qtype = question->qtype,
                          .priority = question->priority,
                          .story = question->story};
  strncat(chase->name, question->name, sizeof(chase->name) - 1);
  int error = ask(chase);
  if (error != 0)
    chase->query = NULL;
  return error;
}

void chase_promote(struct chase *chase, enum dns_priority priority) {
  if (!chase->query || priority >= chase->priority)
    return;
  chase->priority = priority;
  dns_promote(chase->query, priority);
}

bool chase_is_sent(const struct chase *chase) { return chase->query && dns_is_sent(chase->query); }

void chase_cancel(struct chase *chase) {
  if (chase->query)
    dns_cancel(chase->query);
  chase->query = NULL;
}
