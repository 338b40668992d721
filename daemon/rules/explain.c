#include "rules/explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "rules/verdict.h"

enum { STATE_TEXT_SIZE = 128 };

static int64_t seconds(int64_t span_ms) { return (span_ms + 999) / 1000; }

static void explain_failure(struct story *story, const char *name, const struct domain_facts *facts,
                            int64_t now_ms) {
  const char *verdict = verdict_name((enum verdict)facts->cause);
  char row[32] = "";
  if (facts->cause != VERDICT_DNS_NETWORK) /* which is ours and not counted */
    snprintf(row, sizeof(row), ", %u times in a row", facts->failures);
  if (facts->expires_at_ms > now_ms)
    story_add(story, "T5 (RFC 9520 3.2)",
              "memory knows that %s failed with %s%s; the DNS is not asked for %" PRId64 " s more", name,
              verdict, row, seconds(facts->expires_at_ms - now_ms));
  else
    story_add(story, "T5 (RFC 9520 3.2)", "%s failed with %s%s; it may be asked for again", name, verdict,
              row);
}

static void explain_domain(struct story *story, const char *name, const struct domain_facts *facts,
                           int64_t now_ms) {
  static const char *const what[] = {
      [DOMAIN_MX] = "its MX records",          [DOMAIN_ROUTE] = "its configured route",
      [DOMAIN_NULL_MX] = "a null MX",          [DOMAIN_NODATA] = "it has no MX record",
      [DOMAIN_NXDOMAIN] = "it does not exist", [DOMAIN_ALL_INVALID] = "its MX records name no host",
  };
  int64_t age_s = (now_ms - facts->stored_at_ms) / 1000;
  if (facts->expires_at_ms > now_ms)
    story_add(story, "T1, T9", "memory knows %s: %s, learned %" PRId64 " s ago, good for %" PRId64 " s more",
              name, what[facts->kind], age_s, seconds(facts->expires_at_ms - now_ms));
  else
    story_add(story, "T1", "what memory knew of %s (%s) expired %" PRId64 " s ago", name, what[facts->kind],
              (now_ms - facts->expires_at_ms) / 1000);
  int64_t stale_ms = domain_facts_until_ms(facts, false) - now_ms;
  if (facts->expires_at_ms <= now_ms && stale_ms > 0)
    story_add(story, "T6 (RFC 8767)",
              "the DNS failed or was late when asked anew: what expired is answered for %" PRId64 " s more",
              seconds(stale_ms));
}

/* "2 A for 300 s" */
static void describe_family(char text[STATE_TEXT_SIZE], const struct host_facts *facts, enum family family,
                            int64_t now_ms) {
  static const char *const types[] = {[FAMILY_V6] = "AAAA", [FAMILY_V4] = "A"};
  static const char *const states[] = {
      [FAMILY_UNKNOWN] = "unknown",
      [FAMILY_OK] = "",
      [FAMILY_NODATA] = "none",
      [FAMILY_NXDOMAIN] = "no such name",
      [FAMILY_TEMPFAIL] = "failed just now",
      [FAMILY_LOOP] = "its aliases loop",
  };
  int64_t expires_at_ms = facts->expires_at_ms[family];
  char left[64] = "for ever";
  int64_t stale_ms = host_facts_until_ms(facts, family, false) - now_ms;
  if (expires_at_ms <= now_ms && stale_ms > 0)
    snprintf(left, sizeof(left), "expired, answered for %" PRId64 " s more", seconds(stale_ms));
  else if (expires_at_ms <= now_ms)
    snprintf(left, sizeof(left), "expired");
  else if (expires_at_ms != INT64_MAX)
    snprintf(left, sizeof(left), "for %" PRId64 " s", seconds(expires_at_ms - now_ms));
  if (facts->state[family] == FAMILY_OK)
    snprintf(text, STATE_TEXT_SIZE, "%u %s %s", facts->count[family], types[family], left);
  else
    snprintf(text, STATE_TEXT_SIZE, "%s %s, %s", types[family], states[facts->state[family]], left);
}

void explain_host(struct story *story, struct host *host, int64_t now_ms) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_acquire);
  char v6[STATE_TEXT_SIZE], v4[STATE_TEXT_SIZE];
  if (!story)
    return;
  if (!facts) {
    story_add(story, "", "memory holds no addresses of %s", host->name);
    return;
  }
  describe_family(v6, facts, FAMILY_V6, now_ms);
  describe_family(v4, facts, FAMILY_V4, now_ms);
  story_add(story, "T1", "memory holds of %s: %s; %s", host->name, v6, v4);
}

void explain_memory(struct story *story, const char *name, const struct domain_facts *facts, enum depth depth,
                    int64_t now_ms) {
  if (!story)
    return;
  if (!facts) {
    story_add(story, "", "memory holds nothing about %s", name);
    return;
  }
  if (facts->kind == DOMAIN_FAILED)
    explain_failure(story, name, facts, now_ms);
  else
    explain_domain(story, name, facts, now_ms);
  for (uint16_t i = 0; facts->set && depth != DEPTH_EXCHANGES && i < facts->set->count; i++)
    explain_host(story, facts->set->exchanges[i].host, now_ms);
}
