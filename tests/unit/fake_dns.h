/*
 * fake_dns: stands in for the room dns (its header is the seam).
 *
 * Records what is asked; the test delivers the answers, when and in the order it
 * likes, or refuses queries. A query is freed before its callback runs and a message right after, so that
 * a sanitizer sees whoever keeps them. Cancelling or delivering what is not under way fails the test.
 *
 * Include once in an executable: it defines the functions of dns.h, so that the linker leaves dns.o
 * in its archive.
 */
#ifndef MXWAY_TESTS_FAKE_DNS_H
#define MXWAY_TESTS_FAKE_DNS_H

#include "cmocka_compat.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "dns/dns.h"

struct dns_query {
  struct dns *dns;
  struct dns_query *next; /* asked later */
  char name[DNSMSG_NAME_SIZE];
  uint16_t qtype;
  enum dns_priority priority;
  struct story *story; /* held */
  bool is_waiting;     /* the test says so: it has not gone out */
  dns_done_fn *done;
  void *context;
};

struct dns {
  struct dns_query *first; /* under way, oldest first */
  size_t open_count, asked_count, cancelled_count;
  size_t accepted_count; /* refuse after so many more; SIZE_MAX: never */
  int refusal;
  bool is_down;
  size_t of_type[UINT8_MAX + 1]; /* asked, by qtype */
};

int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **dns) {
  (void)loop, (void)options, (void)stats;
  *dns = calloc(1, sizeof(**dns));
  assert_non_null(*dns);
  (*dns)->accepted_count = SIZE_MAX;
  (*dns)->refusal = ERR_OVERLOAD;
  return 0;
}

static inline struct dns *fake_dns_create(void) {
  struct dns *dns;
  assert_int_equal(dns_create(NULL, NULL, NULL, &dns), 0);
  return dns;
}

static inline void fake_dns_unlink(struct dns_query *query) {
  struct dns_query **at = &query->dns->first;
  while (*at && *at != query)
    at = &(*at)->next;
  assert_ptr_equal(*at, query); /* else it is not under way */
  *at = query->next;
  query->dns->open_count--;
}

static inline void fake_dns_free(struct dns_query *query) {
  story_unref(query->story);
  free(query);
}

void dns_destroy(struct dns *dns) {
  while (dns && dns->first) {
    struct dns_query *query = dns->first;
    fake_dns_unlink(query);
    fake_dns_free(query);
  }
  free(dns);
}

int dns_ask(struct dns *dns, const struct dns_question *question, dns_done_fn *done, void *context,
            struct dns_query **result) {
  const char *name = question->name;
  size_t length = strlen(name);
  assert_in_range(length, 1, DNSMSG_NAME_SIZE - 1);
  assert_null(strchr(name, '\\'));
  if (dns->accepted_count == 0)
    return dns->refusal;
  if (dns->accepted_count != SIZE_MAX)
    dns->accepted_count--;
  struct dns_query *query = calloc(1, sizeof(*query));
  assert_non_null(query);
  query->dns = dns;
  memcpy(query->name, name, length + 1);
  query->qtype = question->qtype;
  query->priority = question->priority;
  query->story = story_ref(question->story);
  query->done = done;
  query->context = context;
  struct dns_query **last = &dns->first;
  while (*last)
    last = &(*last)->next;
  *last = query;
  dns->open_count++;
  dns->asked_count++;
  dns->of_type[(uint8_t)question->qtype]++;
  *result = query;
  return 0;
}

void dns_promote(struct dns_query *query, enum dns_priority priority) {
  if (priority < query->priority)
    query->priority = priority;
}

bool dns_is_sent(const struct dns_query *query) { return !query->is_waiting; }

bool dns_is_down(const struct dns *dns) { return dns->is_down; }

void dns_cancel(struct dns_query *query) {
  query->dns->cancelled_count++;
  fake_dns_unlink(query);
  fake_dns_free(query);
}

/* From now on `count` queries are accepted, all later ones refused with `error`. */
static inline void fake_dns_refuse_after(struct dns *dns, size_t count, int error) {
  dns->accepted_count = count;
  dns->refusal = error;
}

static inline void fake_dns_accept(struct dns *dns) { dns->accepted_count = SIZE_MAX; }

/* The oldest query under way for `name` and `qtype`, or NULL. */
static inline struct dns_query *fake_dns_find(struct dns *dns, const char *name, uint16_t qtype) {
  for (struct dns_query *query = dns->first; query; query = query->next)
    if (query->qtype == qtype && strcmp(query->name, name) == 0)
      return query;
  return NULL;
}

static inline bool fake_dns_is_asked(struct dns *dns, const char *name, uint16_t qtype) {
  return fake_dns_find(dns, name, qtype) != NULL;
}

/* Ends a query. A message without a canonical name gets the one that was asked for. */
static inline void fake_dns_end(struct dns_query *query, enum dns_result result, const struct dnsmsg *message,
                                int64_t now_ms) {
  struct dns_query ended = *query;
  struct dnsmsg *lent = NULL;
  fake_dns_unlink(query);
  fake_dns_free(query);
  if (message) {
    lent = malloc(sizeof(*lent));
    assert_non_null(lent);
    *lent = *message;
    if (lent->canonical[0] == '\0')
      memcpy(lent->canonical, ended.name, sizeof(lent->canonical));
  }
  ended.done(ended.context, result, lent, now_ms);
  free(lent);
}

/* Delivers a reply to the query for `name` and `qtype`, which is under way. */
static inline void fake_dns_deliver(struct dns *dns, const char *name, uint16_t qtype,
                                    const struct dnsmsg *message, int64_t now_ms) {
  struct dns_query *query = fake_dns_find(dns, name, qtype);
  if (!query)
    print_error("%s type %u is not asked for\n", name, qtype);
  assert_non_null(query);
  fake_dns_end(query, DNS_REPLIED, message, now_ms);
}

/* Ends a query that is under way without a reply. */
static inline void fake_dns_fail(struct dns *dns, const char *name, uint16_t qtype, enum dns_result result,
                                 int64_t now_ms) {
  struct dns_query *query = fake_dns_find(dns, name, qtype);
  assert_non_null(query);
  fake_dns_end(query, result, NULL, now_ms);
}

/* ---- messages, as dnsmsg_parse fills them ---- */

static inline struct dnsmsg fake_reply(enum dnsmsg_outcome outcome) {
  struct dnsmsg message;
  memset(&message, 0, sizeof(message));
  message.outcome = outcome;
  message.ttl_s = UINT32_MAX;
  return message;
}

/* `hops` aliases that end at `canonical`. */
static inline struct dnsmsg fake_alias(enum dnsmsg_outcome outcome, unsigned hops, uint32_t ttl_s,
                                       const char *canonical) {
  struct dnsmsg message = fake_reply(outcome);
  message.hops = (uint8_t)hops;
  message.ttl_s = ttl_s;
  snprintf(message.canonical, sizeof(message.canonical), "%s", canonical);
  return message;
}

/* A denial with an SOA. */
static inline struct dnsmsg fake_denial(enum dnsmsg_outcome outcome, uint32_t negative_ttl_s) {
  struct dnsmsg message = fake_reply(outcome);
  message.has_soa = true;
  message.negative_ttl_s = negative_ttl_s;
  return message;
}

static inline void fake_add_mx(struct dnsmsg *message, unsigned preference, const char *host) {
  assert_in_range(message->mx_count, 0, DNSMSG_MX_MAX - 1);
  struct dnsmsg_mx *mx = &message->mx[message->mx_count++];
  mx->preference = (uint16_t)preference;
  mx->usable = true;
  snprintf(mx->host, sizeof(mx->host), "%s", host);
}

/* One MX record. */
static inline struct dnsmsg fake_mx(uint32_t ttl_s, unsigned preference, const char *host) {
  struct dnsmsg message = fake_reply(DNSMSG_ANSWER);
  message.ttl_s = ttl_s;
  fake_add_mx(&message, preference, host);
  return message;
}

/* `count` addresses 192.0.2.`first`... */
static inline struct dnsmsg fake_a(uint32_t ttl_s, unsigned first, unsigned count) {
  struct dnsmsg message = fake_reply(DNSMSG_ANSWER);
  message.ttl_s = ttl_s;
  message.address_length = 4;
  message.address_count = (uint8_t)count;
  for (unsigned i = 0; i < count; i++)
    memcpy(message.addresses[i], (uint8_t[]){192, 0, 2, (uint8_t)(first + i)}, 4);
  return message;
}

/* `count` addresses 2001:db8::`first`... */
static inline struct dnsmsg fake_aaaa(uint32_t ttl_s, unsigned first, unsigned count) {
  struct dnsmsg message = fake_reply(DNSMSG_ANSWER);
  message.ttl_s = ttl_s;
  message.address_length = 16;
  message.address_count = (uint8_t)count;
  for (unsigned i = 0; i < count; i++)
    memcpy(message.addresses[i],
           (uint8_t[]){0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(first + i)}, 16);
  return message;
}

#endif
