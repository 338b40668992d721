/*
 * setting: one option's value, from text and back to it.
 *
 * config has the table of options; this room knows the types: how a value is
 * read into its field, what a wrong one is told, how it is printed. A value is a
 * field of a structure of the caller's, found by its offset. Pure.
 */
#ifndef MXWAY_DAEMON_SETTING_H
#define MXWAY_DAEMON_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
  SETTING_REASON_SIZE = 256,
  SETTING_EXPECTED_SIZE = 128,
  SETTING_NAME_SIZE = 254,
  SETTING_WORDS_MAX = 6
};

enum setting_type {
  SETTING_PATH,   /* char[max + 1] */
  SETTING_MODE,   /* uint32_t */
  SETTING_NUMBER, /* uint32_t */
  SETTING_SIZE,   /* uint64_t, octets */
  SETTING_WORD,   /* char[max + 1] */
  SETTING_CHOICE, /* bool */
  SETTING_ENUM,   /* an enum whose values are 0, 1, ... */
  SETTING_LEVEL,  /* enum log_level */
  SETTING_TARGET, /* struct link_target; all zero: none */
  /* Lists. */
  SETTING_SERVERS,   /* struct sockaddr_storage[max] */
  SETTING_NAMES,     /* char[max][SETTING_NAME_SIZE], canonical */
  SETTING_ADDRESSES, /* struct address_prefix[max], each of 128 bits */
  SETTING_PREFIXES,  /* struct address_prefix[max] */
  SETTING_TARGETS,   /* struct link_target[max] */
};

struct setting {
  const char *name;
  enum setting_type type;
  size_t offset;       /* of the field; of a list: of its first element */
  size_t count_offset; /* of a list: of its length, a size_t */
  const char *initial; /* the default; of a list "", for none */
  uint64_t min, max;   /* of MODE, NUMBER and SIZE; of a PATH's and WORD's octets; max of a list's elements */
  const char *unit;    /* of NUMBER, behind the range */
  const char *words[SETTING_WORDS_MAX]; /* of CHOICE: for false and true; of ENUM: for 0, 1, ... */
  const char *sentence;
};

bool setting_is_list(const struct setting *setting);

/* Empties the list in `fields`. */
void setting_clear(const struct setting *setting, void *fields);

/* Sets the field in `fields`, or appends to a list what stands between the commas of
 * `value`. Returns 0; or ERR_CONFIG with what is wrong and what was expected, the field then as
 * it was (a list may have grown). */
int setting_set(const struct setting *setting, void *fields, const char *value,
                char reason[SETTING_REASON_SIZE]);

/* What values are taken: "0 to 3600 s". */
void setting_expected(const struct setting *setting, char text[SETTING_EXPECTED_SIZE]);

/* Prints the value as it stands in a file behind "name = ". */
void setting_print(const struct setting *setting, const void *fields, FILE *out);

#endif
