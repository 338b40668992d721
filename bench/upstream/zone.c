#include "zone.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct zone_record {
  struct zone_record *next;
  uint32_t ttl;
  uint16_t type, rdata_length;
  uint8_t rdata[];
};

struct zone_node {
  struct zone_node *next; /* of the bucket */
  struct zone_record *records;
  struct dname name;
};

struct zone {
  struct zone_node **buckets;
  size_t bucket_count, count;
};

struct zone *zone_create(void) {
  struct zone *zone = calloc(1, sizeof(*zone));
  if (!zone)
    return NULL;
  zone->bucket_count = 1024;
  zone->buckets = calloc(zone->bucket_count, sizeof(struct zone_node *));
  if (!zone->buckets) {
    free(zone);
    return NULL;
  }
  return zone;
}

void zone_destroy(struct zone *zone) {
  if (!zone)
    return;
  for (size_t i = 0; i < zone->bucket_count; i++) {
    while (zone->buckets[i]) {
      struct zone_node *node = zone->buckets[i];
      zone->buckets[i] = node->next;
      while (node->records) {
        struct zone_record *record = node->records;
        node->records = record->next;
        free(record);
      }
      free(node);
    }
  }
  free(zone->buckets);
  free(zone);
}

static struct zone_node **bucket_of(const struct zone *zone, const struct dname *name) {
  return &zone->buckets[dname_hash(name, 0) & (zone->bucket_count - 1)];
}

static struct zone_node *node_of(const struct zone *zone, const struct dname *name) {
  struct zone_node *node = *bucket_of(zone, name);
  while (node && !dname_equal(&node->name, name))
    node = node->next;
  return node;
}

/* Without memory for more buckets the chains are longer. */
static void grow(struct zone *zone) {
  struct zone wider = {.bucket_count = zone->bucket_count * 2, .count = zone->count};
  wider.buckets = calloc(wider.bucket_count, sizeof(struct zone_node *));
  if (!wider.buckets)
    return;
  for (size_t i = 0; i < zone->bucket_count; i++) {
    while (zone->buckets[i]) {
      struct zone_node *node = zone->buckets[i];
      zone->buckets[i] = node->next;
      struct zone_node **bucket = bucket_of(&wider, &node->name);
      node->next = *bucket;
      *bucket = node;
    }
  }
  free(zone->buckets);
  *zone = wider;
}

/* The node of `name`, made with all above it, which exist with it though they may be empty. */
static struct zone_node *make_node(struct zone *zone, const struct dname *name) {
  struct zone_node *wanted = NULL;
  struct dname at = *name;
  for (;;) {
    struct zone_node *node = node_of(zone, &at);
    bool is_new = !node;
    if (is_new) {
      if (zone->count >= zone->bucket_count)
        grow(zone);
      node = calloc(1, sizeof(*node));
      if (!node)
        return NULL;
      node->name = at;
      struct zone_node **bucket = bucket_of(zone, &at);
      node->next = *bucket;
      *bucket = node;
      zone->count++;
    }
    if (!wanted)
      wanted = node;
    if (!is_new || at.length == 1)
      return wanted;
    dname_parent(&at, &at);
  }
}

int zone_put(struct zone *zone, const struct dname *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
             size_t rdata_length) {
  assert(rdata_length <= UINT16_MAX);
  struct zone_node *node = make_node(zone, owner);
  if (!node)
    return -1;
  struct zone_record **end = &node->records;
  for (; *end; end = &(*end)->next)
    if ((*end)->type == type && (*end)->rdata_length == rdata_length &&
        memcmp((*end)->rdata, rdata, rdata_length) == 0)
      return 0;
  struct zone_record *record = malloc(sizeof(*record) + rdata_length);
  if (!record)
    return -1;
  *record = (struct zone_record){.ttl = ttl, .type = type, .rdata_length = (uint16_t)rdata_length};
  memcpy(record->rdata, rdata, rdata_length);
  *end = record;
  return 0;
}

static const struct zone_record *record_of(const struct zone_node *node, uint16_t type) {
  const struct zone_record *record = node->records;
  while (record && record->type != type)
    record = record->next;
  return record;
}

static const struct zone_node *apex_of(const struct zone *zone, const struct dname *name) {
  for (struct dname at = *name;; dname_parent(&at, &at)) {
    const struct zone_node *node = node_of(zone, &at);
    if (node && record_of(node, TYPE_SOA))
      return node;
    if (at.length == 1)
      return NULL;
  }
}

size_t zone_apex_length(const struct zone *zone, const struct dname *name) {
  const struct zone_node *apex = apex_of(zone, name);
  return apex ? apex->name.length : 0;
}

/* The node that answers for `name`: its own, or the wildcard below its closest encloser. */
static const struct zone_node *answering_node(const struct zone *zone, const struct dname *name) {
  const struct zone_node *node = node_of(zone, name);
  if (node)
    return node;
  struct dname at = *name;
  do
    dname_parent(&at, &at);
  while (!node_of(zone, &at) && at.length > 1);
  struct dname wildcard;
  return dname_prepend("*", &at, &wildcard) ? node_of(zone, &wildcard) : NULL;
}

enum found zone_find(const struct zone *zone, const struct dname *name, uint16_t type, record_fn *put,
                     void *context, struct dname *target) {
  if (!apex_of(zone, name))
    return FOUND_OUTSIDE;
  const struct zone_node *node = answering_node(zone, name);
  if (!node)
    return FOUND_NXDOMAIN;
  enum found found = FOUND_NODATA;
  for (const struct zone_record *record = node->records; record; record = record->next) {
    if (record->type == type) {
      put(context, name, type, record->ttl, record->rdata, record->rdata_length);
      found = FOUND_RECORDS;
    }
  }
  const struct zone_record *alias = record_of(node, TYPE_CNAME);
  if (found == FOUND_RECORDS || !alias)
    return found;
  put(context, name, TYPE_CNAME, alias->ttl, alias->rdata, alias->rdata_length);
  size_t at = 0;
  return dname_read(alias->rdata, alias->rdata_length, &at, target) ? FOUND_ALIAS : FOUND_RECORDS;
}

void zone_put_soa(const struct zone *zone, const struct dname *name, record_fn *put, void *context) {
  const struct zone_node *apex = apex_of(zone, name);
  if (!apex)
    return;
  const struct zone_record *soa = record_of(apex, TYPE_SOA);
  put(context, &apex->name, TYPE_SOA, soa->ttl, soa->rdata, soa->rdata_length);
}
