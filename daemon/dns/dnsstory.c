#include "dns/dnsstory.h"

#include <inttypes.h>
#include <stdio.h>

static const char *type_text(uint16_t qtype) {
  return qtype == DNSMSG_MX ? "MX" : qtype == DNSMSG_A ? "A" : "AAAA";
}

static const char *rcode_text(const uint8_t *bytes, size_t length) {
  static const char *const texts[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
  unsigned rcode = length > 3 ? bytes[3] & 0x0f : 16;
  return rcode < sizeof(texts) / sizeof(texts[0]) ? texts[rcode] : "another error";
}

static const char *outcome_text(enum dnsmsg_outcome outcome) {
  switch (outcome) {
  case DNSMSG_ANSWER:
    return "records";
  case DNSMSG_NODATA:
    return "no such record";
  case DNSMSG_NXDOMAIN:
    return "no such name";
  case DNSMSG_FOLLOW:
    return "an alias";
  case DNSMSG_LOOP:
    return "aliases without an end";
  case DNSMSG_MALFORMED:
    return "not a reply that can be read";
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_NOTIMP:
  case DNSMSG_REFUSED:
  case DNSMSG_OTHER_RCODE:
    return "a failure";
  }
  return "";
}

void dnsstory_waits(struct story *story, const char *name, uint16_t qtype, unsigned under_way) {
  story_add(story, "L2", "%s %s waits: %u queries are under way", name, type_text(qtype), under_way);
}

void dnsstory_late(struct story *story, const char *late, const char *server) {
  story_add(story, "L1", "%s is late: asks %s as well", late, server);
}

void dnsstory_again(struct story *story, const char *server, enum dnsstory_again again) {
  static const struct {
    const char *rule, *text;
  } lines[] = {
      [DNSSTORY_NO_EDNS] = {"V17 (RFC 6891 7)",
                            "does not understand EDNS: asks it again over UDP without EDNS"},
      [DNSSTORY_TRUNCATED] = {"V17", "sends a truncated reply: asks it again over TCP"},
      [DNSSTORY_BROKEN] = {"V11", "sends what cannot be read: asks it again over TCP"},
      [DNSSTORY_OTHER_CASE] = {"RFC 5452 9.1",
                               "seems to answer, but not with the letters it was asked with, as a "
                               "forger would: asks it again over TCP"},
  };
  story_add(story, lines[again].rule, "%s %s", server, lines[again].text);
}

/* How many records, and for how long what the reply says holds. */
static void describe(const struct dnsmsg *message, char *text, size_t size) {
  unsigned count = message->mx_count + message->address_count;
  if (message->outcome == DNSMSG_ANSWER)
    snprintf(text, size, "%u %s%s, TTL %" PRIu32 " s", count, count == 1 ? "record" : "records",
             message->cut ? " and more" : "", message->ttl_s);
  else if (message->outcome == DNSMSG_FOLLOW)
    snprintf(text, size, "an alias of %s, TTL %" PRIu32 " s", message->canonical, message->ttl_s);
  else if (message->has_soa)
    snprintf(text, size, "%s, negative TTL %" PRIu32 " s", outcome_text(message->outcome),
             message->negative_ttl_s);
  else
    snprintf(text, size, "%s", outcome_text(message->outcome));
}

void dnsstory_replied(struct story *story, const struct dnsstory_try *sent, const struct dnsmsg *message,
                      const uint8_t *bytes, size_t length, bool is_doubted, int64_t took_us) {
  char text[STORY_TEXT_SIZE / 2];
  if (!story)
    return;
  describe(message, text, sizeof(text));
  story_add(story, message->authentic ? "RFC 6840 5.8" : "",
            "%s asked for %s %s over %s: %s in %" PRId64 ".%" PRId64 " ms, %s%s", sent->server, sent->name,
            type_text(sent->qtype), sent->transport, rcode_text(bytes, length), took_us / 1000,
            took_us / 100 % 10, text, message->authentic ? ", validated" : "");
  if (is_doubted)
    story_add(
        story, "RFC 6840 5.8",
        "%s says that it has validated this (AD), which is not believed: it is not on this machine, and "
        "trust-ad is off",
        sent->server);
}

void dnsstory_failed(struct story *story, const struct dnsstory_try *sent, bool was_silent) {
  story_add(story, was_silent ? "L1" : "V10", "%s asked for %s %s over %s: %s", sent->server, sent->name,
            type_text(sent->qtype), sent->transport,
            was_silent ? "no reply in time" : "it cannot be reached");
}
