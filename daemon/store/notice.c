#include "store/notice.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "cache/octets.h"

enum { CHECKSUM_BYTES = 8, AT_VERSION = 4, AT_SEALED = 5, HEAD_LEAST_BYTES = 6 };

static const char magic[4] = {'m', 'x', 'w', 'p'};
static const char letters[] = "DSXNFA"; /* by enum purge_what */
static const char beginning = 'B';

_Static_assert(sizeof(letters) == PURGE_OF_ALL + 2, "each purge has a letter");
_Static_assert((int)NOTICE_NAMES_BYTES > (int)NAME_TEXT_MAX + 1, "any name has room");

/* ---- names ---- */

static bool needs_name(const struct notice *notice) {
  return !notice->is_beginning && notice->what <= PURGE_OF_EXCHANGE;
}

void notice_init(struct notice *notice, enum purge_what what) {
  notice->origin = 0;
  notice->is_beginning = false;
  notice->followed = 0;
  notice->what = what;
  notice->length = 0;
}

bool notice_add(struct notice *notice, const struct name *name) {
  size_t taken = 1u + name->length;
  if (notice->length + taken > NOTICE_NAMES_BYTES)
    return false;
  notice->names[notice->length] = name->length;
  memcpy(notice->names + notice->length + 1, name->text, name->length);
  notice->length = (uint16_t)(notice->length + taken);
  return true;
}

/* Reads a name, which must be as name_parse leaves it. */
static bool read_name(const struct notice *notice, size_t at, struct name *name) {
  static const struct name_policy policy = {.accept_bare_ip = true, .allow_single_label = true};
  size_t length = notice->names[at];
  const uint8_t *text = notice->names + at + 1;
  return at + 1 + length <= notice->length && name_parse(text, length, &policy, name) == NAME_OK &&
         name->length == length && memcmp(name->text, text, length) == 0;
}

bool notice_next(const struct notice *notice, size_t *at, struct name *name) {
  if (*at >= notice->length || !read_name(notice, *at, name))
    return false;
  *at += 1u + notice->names[*at];
  return true;
}

/* Whether the names are some that `what` may have. */
static bool are_possible(const struct notice *notice) {
  struct name name;
  size_t at = 0, count = 0;
  while (notice_next(notice, &at, &name)) {
    count++;
    if (notice->what == PURGE_OF_DOMAIN && name.kind != NAME_DOMAIN)
      return false;
  }
  bool may_be_more = needs_name(notice) && notice->what == PURGE_OF_DOMAIN;
  return at == notice->length && (needs_name(notice) ? count > 0 : count == 0) && (count <= 1 || may_be_more);
}

/* ---- writing ---- */

size_t notice_pack(uint8_t at[NOTICE_MAX], const struct notice *notice, const char *key,
                   const struct seal *seal) {
  struct octets_writer writer = {.at = at, .end = at + NOTICE_MAX, .is_good = true};
  assert(are_possible(notice));
  octets_put_bytes(&writer, magic, sizeof(magic));
  octets_put_number(&writer, NOTICE_VERSION, 1);
  octets_put_number(&writer, seal != NULL, 1);
  octets_put_number(&writer, (uint8_t)(notice->is_beginning ? beginning : letters[notice->what]), 1);
  octets_put_number(&writer, notice->origin, 8);
  octets_put_number(&writer, notice->followed, 8);
  octets_put_number(&writer, notice->length, 2);
  octets_put_bytes(&writer, notice->names, notice->length);
  if (seal) {
    uint8_t mac[SEAL_BYTES];
    seal_make(seal, key, strlen(key), at, (size_t)(writer.at - at), mac);
    octets_put_bytes(&writer, mac, SEAL_BYTES);
  }
  octets_put_number(&writer, digest_64(at, (size_t)(writer.at - at), 0), CHECKSUM_BYTES);
  assert(writer.is_good);
  return (size_t)(writer.at - at);
}

/* ---- reading ---- */

/* The octets between the seal's flag and MAC, and whether they may be looked into. */
static enum notice_status open_notice(const uint8_t *bytes, size_t length, const char *key,
                                      const struct seal *seal, struct octets_reader *reader) {
  if (length > NOTICE_MAX)
    return NOTICE_TOO_LONG;
  if (length <= AT_VERSION || memcmp(bytes, magic, sizeof(magic)) != 0)
    return NOTICE_NO_NOTICE;
  if (bytes[AT_VERSION] != NOTICE_VERSION)
    return NOTICE_UNKNOWN_VERSION;
  if (length < HEAD_LEAST_BYTES + CHECKSUM_BYTES)
    return NOTICE_BAD_CHECKSUM;
  const uint8_t *end = bytes + length - CHECKSUM_BYTES;
  struct octets_reader checksum = {.at = end, .end = bytes + length, .is_good = true};
  if (octets_get_number(&checksum, CHECKSUM_BYTES) != digest_64(bytes, (size_t)(end - bytes), 0))
    return NOTICE_BAD_CHECKSUM;
  uint8_t is_sealed = bytes[AT_SEALED];
  if (is_sealed > 1 || (is_sealed && end - bytes < HEAD_LEAST_BYTES + SEAL_BYTES))
    return NOTICE_IMPOSSIBLE;
  if (is_sealed)
    end -= SEAL_BYTES;
  if (seal && !(is_sealed && seal_is_good(seal, key, strlen(key), bytes, (size_t)(end - bytes), end)))
    return NOTICE_BAD_MAC;
  *reader = (struct octets_reader){.at = bytes + HEAD_LEAST_BYTES, .end = end, .is_good = true};
  return NOTICE_GOOD;
}

static bool read_what(struct octets_reader *reader, struct notice *notice) {
  char letter = (char)octets_get_number(reader, 1);
  const char *found = letter ? strchr(letters, letter) : NULL;
  notice->is_beginning = letter == beginning;
  notice->what = found ? (enum purge_what)(found - letters) : PURGE_OF_ALL;
  return found || notice->is_beginning;
}

enum notice_status notice_parse(const uint8_t *bytes, size_t length, const char *key, const struct seal *seal,
                                struct notice *notice) {
  struct octets_reader reader;
  enum notice_status status = open_notice(bytes, length, key, seal, &reader);
  if (status != NOTICE_GOOD)
    return status;
  bool is_known = read_what(&reader, notice);
  notice->origin = octets_get_number(&reader, 8);
  notice->followed = octets_get_number(&reader, 8);
  size_t names_length = (size_t)octets_get_number(&reader, 2);
  const uint8_t *names = octets_get_bytes(&reader, names_length);
  if (!is_known || !names || !reader.is_good || reader.at != reader.end || names_length > NOTICE_NAMES_BYTES)
    return NOTICE_IMPOSSIBLE;
  memcpy(notice->names, names, names_length);
  notice->length = (uint16_t)names_length;
  return are_possible(notice) ? NOTICE_GOOD : NOTICE_IMPOSSIBLE;
}

const char *notice_status_text(enum notice_status status) {
  switch (status) {
  case NOTICE_GOOD:
    return "it is good";
  case NOTICE_TOO_LONG:
    return "it is longer than any notice";
  case NOTICE_NO_NOTICE:
    return "this is no notice of mxway";
  case NOTICE_UNKNOWN_VERSION:
    return "it is of a version that is not known here";
  case NOTICE_BAD_CHECKSUM:
    return "its checksum is wrong";
  case NOTICE_BAD_MAC:
    return "it is not sealed with a key that is known here";
  case NOTICE_IMPOSSIBLE:
    break;
  }
  return "its checksum is right, but what it says cannot be";
}
