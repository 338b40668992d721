#include "rules/site.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* ---- the id ---- */

enum { HOST_MAX = 253, ENCODING_MAX = 1 + SITE_HOSTS_MAX * (HOST_MAX + 2) };

static void build_id(const struct site_host hosts[], uint16_t count, bool implicit, struct site *site) {
  uint8_t encoding[ENCODING_MAX], *end = encoding;
  *end++ = implicit;
  for (uint16_t i = 0; i < count; i++) {
    size_t length = strlen(hosts[i].name) + 1;
    assert(length <= HOST_MAX + 1);
    memcpy(end, hosts[i].name, length);
    end += length;
    if (i + 1 == count || hosts[i + 1].preference != hosts[i].preference)
      *end++ = '\0';
  }
  digest_128(encoding, (size_t)(end - encoding), site->id);
}

/* ---- the name ---- */

struct label {
  const char *text;
  size_t length;
};

/* The name is written from its end. */
struct roll {
  const struct site_host *hosts;
  uint16_t count;
  size_t left[SITE_HOSTS_MAX]; /* octets of each host that are not rolled up yet */
  struct label labels[SITE_HOSTS_MAX];
  uint16_t label_count; /* distinct ones at this position */
  bool is_missing;      /* some host has no label here */
  size_t room;          /* octets before what is written in `name` */
  char name[SITE_NAME_MAX];
};

static void collect(struct roll *roll, struct label label) {
  for (uint16_t i = 0; i < roll->label_count; i++)
    if (roll->labels[i].length == label.length && memcmp(roll->labels[i].text, label.text, label.length) == 0)
      return;
  roll->labels[roll->label_count++] = label;
}

/* Takes the last label of every host. Returns whether there was any. */
static bool next_position(struct roll *roll) {
  roll->label_count = 0;
  roll->is_missing = false;
  for (uint16_t i = 0; i < roll->count; i++) {
    const char *name = roll->hosts[i].name;
    size_t end = roll->left[i], start = end;
    if (end == 0) {
      roll->is_missing = true;
      continue;
    }
    while (start > 0 && name[start - 1] != '.')
      start--;
    collect(roll, (struct label){name + start, end - start});
    roll->left[i] = start > 0 ? start - 1 : 0;
  }
  return roll->label_count > 0;
}

static void put_before(struct roll *roll, const char *text, size_t length) {
  roll->room -= length;
  memcpy(roll->name + roll->room, text, length);
}

/* Writes this position before the others; false where it has no room. */
static bool put_position(struct roll *roll) {
  bool is_last = roll->room == SITE_NAME_MAX, several = roll->label_count > 1;
  size_t length = (size_t)!is_last + roll->is_missing + (several ? roll->label_count + 1u : 0);
  for (uint16_t i = 0; i < roll->label_count; i++)
    length += roll->labels[i].length;
  if (length > roll->room)
    return false;
  if (!is_last)
    put_before(roll, ".", 1);
  if (roll->is_missing)
    put_before(roll, "?", 1);
  for (uint16_t i = roll->label_count; i-- > 0;) {
    if (several)
      put_before(roll, i + 1 == roll->label_count ? ")" : "|", 1);
    put_before(roll, roll->labels[i].text, roll->labels[i].length);
  }
  if (several)
    put_before(roll, "(", 1);
  return true;
}

/* "~", the id, and a dot. */
enum { MARK_LENGTH = 1 + 2 * DIGEST_LENGTH, MARK_ROOM = MARK_LENGTH + 1 };

/* In the place of the positions that have no room. */
static void put_mark(struct roll *roll, const uint8_t id[DIGEST_LENGTH]) {
  static const char digits[] = "0123456789abcdef";
  char mark[MARK_ROOM], *end = mark;
  *end++ = '~';
  for (size_t i = 0; i < DIGEST_LENGTH; i++) {
    *end++ = digits[id[i] >> 4];
    *end++ = digits[id[i] & 15];
  }
  *end++ = '.';
  put_before(roll, mark, roll->room == SITE_NAME_MAX ? MARK_LENGTH : MARK_ROOM);
}

static void build_name(const struct site_host hosts[], uint16_t count, struct site *site) {
  struct roll roll = {.hosts = hosts, .count = count, .room = SITE_NAME_MAX};
  size_t marked_room = SITE_NAME_MAX; /* as far as there is still room for the mark */
  for (uint16_t i = 0; i < count; i++)
    roll.left[i] = strlen(hosts[i].name);
  while (next_position(&roll)) {
    if (!put_position(&roll)) {
      roll.room = marked_room;
      put_mark(&roll, site->id);
      break;
    }
    if (roll.room >= MARK_ROOM)
      marked_room = roll.room;
  }
  site->name_length = (uint16_t)(SITE_NAME_MAX - roll.room);
  memcpy(site->name, roll.name + roll.room, site->name_length);
}

void site_build(const struct site_host hosts[], uint16_t count, bool implicit, struct site *site) {
  assert(count >= 1 && count <= SITE_HOSTS_MAX);
  build_id(hosts, count, implicit, site);
  build_name(hosts, count, site);
}
