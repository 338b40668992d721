/*
 * played_list: the list of purges, as a Redis server would have it, behind a fake fleet.
 *
 * What is sent is answered when the test says so (list_answer): XADD appends, XRANGE reads, DEL deletes, and
 * PUBLISH reaches every subscriber, unless `is_deaf`.
 */
#ifndef MXWAY_TESTS_PLAYED_LIST_H
#define MXWAY_TESTS_PLAYED_LIST_H

#include "fake_fleet.h"

#include <inttypes.h>
#include <stdint.h>

#include "store/notice.h"

enum { LIST_MAX = 2048, LIST_OCTETS_MAX = NOTICE_MAX + 64 };

struct list_entry {
  uint64_t ms, sequence;
  const char *field; /* its name */
  uint8_t octets[LIST_OCTETS_MAX];
  size_t length;
};

static struct {
  struct list_entry entries[LIST_MAX];
  size_t first, count;
  uint64_t ms;       /* of the next entry */
  bool is_deaf;      /* what is published reaches nobody */
  const char *error; /* what all but PUBLISH is answered with; NULL: nothing */
  size_t answered;   /* calls looked at */
} list;

static inline void list_init(void) {
  memset(&list, 0, sizeof(list));
  list.ms = UINT64_C(1790000000000);
}

static inline struct list_entry *list_add(const void *octets, size_t length) {
  assert_true(list.first + list.count < LIST_MAX && length <= LIST_OCTETS_MAX);
  struct list_entry *entry = &list.entries[list.first + list.count++];
  *entry = (struct list_entry){.ms = list.ms++, .field = "n", .length = length};
  memcpy(entry->octets, octets, length);
  return entry;
}

static inline void list_forget(size_t count) {
  list.first += count;
  list.count -= count;
}

static inline redisReply list_text(char *text, size_t length) {
  return (redisReply){.type = REDIS_REPLY_STRING, .str = text, .len = length};
}

/* Entries from `start` on as XRANGE gives them. */
static inline void list_answer_page(size_t at, const char *start, size_t most, int64_t now_ms) {
  uint64_t ms = 0, sequence = 0;
  size_t first = list.first, end = list.first + list.count, count = 0;
  redisReply entries[64], *entry_list[64], parts[64][2], *part_lists[64][2], fields[64][2],
      *field_lists[64][2];
  char ids[64][48];
  if (start[0] != '-')
    assert_int_equal(sscanf(start, "%" SCNu64 "-%" SCNu64, &ms, &sequence), 2);
  while (first < end && (list.entries[first].ms < ms ||
                         (list.entries[first].ms == ms && list.entries[first].sequence < sequence)))
    first++;
  for (size_t i = first; i < end && count < most; i++, count++) {
    struct list_entry *entry = &list.entries[i];
    int length = snprintf(ids[count], sizeof(ids[count]), "%" PRIu64 "-%" PRIu64, entry->ms, entry->sequence);
    fields[count][0] = list_text((char *)entry->field, strlen(entry->field));
    fields[count][1] = list_text((char *)entry->octets, entry->length);
    parts[count][0] = list_text(ids[count], (size_t)length);
    parts[count][1] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = field_lists[count]};
    for (size_t j = 0; j < 2; j++) {
      field_lists[count][j] = &fields[count][j];
      part_lists[count][j] = &parts[count][j];
    }
    entries[count] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = part_lists[count]};
    entry_list[count] = &entries[count];
  }
  redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = entry_list};
  fake_answer(at, &reply, now_ms);
}

static inline void list_publish(const char *message, int64_t now_ms) {
  for (size_t i = 0; i < fake_fleet.subscriber_count; i++)
    fake_fleet.subscribers[i].on_message(fake_fleet.subscribers[i].context, message, strlen(message), now_ms);
}

static inline void list_answer_one(size_t at, int64_t now_ms) {
  struct fleet_call *call = &fake_fleet.calls[at];
  char start[48];
  size_t most;
  assert_int_equal(call->purpose, FLEET_WRITE);
  if (strncmp(call->text, "PUBLISH ", 8) == 0) {
    fake_answer_text(at, REDIS_REPLY_INTEGER, "", now_ms);
    if (!list.is_deaf)
      list_publish("1", now_ms);
  } else if (list.error) {
    fake_answer_error(at, list.error, now_ms);
  } else if (strcmp(call->text, "DEL mxway:1:purges") == 0) {
    list_forget(list.count);
    fake_answer_text(at, REDIS_REPLY_INTEGER, "", now_ms);
  } else if (strcmp(call->text, "XADD mxway:1:purges MAXLEN 256 * n *") == 0) {
    char id[48];
    struct list_entry *entry = list_add(call->value, call->value_length);
    snprintf(id, sizeof(id), "%" PRIu64 "-0", entry->ms);
    if (list.count > 256)
      list_forget(list.count - 256);
    fake_answer_text(at, REDIS_REPLY_STRING, id, now_ms);
  } else {
    assert_int_equal(sscanf(call->text, "XRANGE mxway:1:purges %47s + COUNT %zu", start, &most), 2);
    assert_in_range(most, 2, 64);
    list_answer_page(at, start, most, now_ms);
  }
}

/* Answers all that has been sent, and what is sent upon it. */
static inline void list_answer(int64_t now_ms) {
  for (; list.answered < fake_fleet.count; list.answered++)
    if (fake_fleet.calls[list.answered].is_open)
      list_answer_one(list.answered, now_ms);
}

#endif
