#include "config/setting.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/address.h"
#include "base/conffile.h"
#include "base/error.h"
#include "base/log.h"
#include "redis/link_target.h"
#include "rules/name.h"

enum { DNS_PORT = 53, ELEMENT_TEXT_SIZE = LINK_TARGET_TEXT_SIZE };

enum outcome { GOOD, BAD, OUT_OF_RANGE, TOO_MANY };

bool setting_is_list(const struct setting *setting) { return setting->type >= SETTING_SERVERS; }

static size_t *list_count(const struct setting *setting, void *fields) {
  return (size_t *)((char *)fields + setting->count_offset);
}

void setting_clear(const struct setting *setting, void *fields) { *list_count(setting, fields) = 0; }

/* ---- from text ---- */

/* Reads decimal digits (or those of another base up to 10) up to `end`. */
static enum outcome parse_digits(const char *text, const char *end, unsigned base, uint64_t *number) {
  uint64_t value = 0;
  if (text == end)
    return BAD;
  for (; text < end; text++) {
    unsigned digit = (unsigned)(unsigned char)*text - '0';
    if (digit >= base)
      return BAD;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
      return OUT_OF_RANGE;
  }
  *number = value;
  return GOOD;
}

static const struct {
  const char *suffix;
  unsigned shift;
} size_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}};

static enum outcome parse_size(const char *text, uint64_t *bytes) {
  size_t digits = strspn(text, "0123456789");
  for (size_t i = 0; i < sizeof(size_units) / sizeof(size_units[0]); i++)
    if (strcmp(text + digits, size_units[i].suffix) == 0) {
      uint64_t number;
      enum outcome outcome = parse_digits(text, text + digits, 10, &number);
      if (outcome == GOOD && __builtin_mul_overflow(number, (uint64_t)1 << size_units[i].shift, bytes))
        outcome = OUT_OF_RANGE;
      return outcome;
    }
  return BAD;
}

static bool parse_name(const char *text, char name[SETTING_NAME_SIZE]) {
  static const struct name_policy liberal = {.accept_bare_ip = true, .allow_single_label = true};
  struct name parsed;
  if (name_parse((const uint8_t *)text, strlen(text), &liberal, &parsed) != NAME_OK ||
      parsed.kind != NAME_DOMAIN)
    return false;
  memcpy(name, parsed.text, parsed.length + 1u);
  return true;
}

/* One element of a list, of whatever kind. */
union element {
  struct sockaddr_storage server;
  char name[SETTING_NAME_SIZE];
  struct address_prefix prefix;
  struct link_target target;
};

static size_t element_size(const struct setting *setting) {
  if (setting->type == SETTING_SERVERS)
    return sizeof(struct sockaddr_storage);
  if (setting->type == SETTING_TARGETS)
    return sizeof(struct link_target);
  return setting->type == SETTING_NAMES ? SETTING_NAME_SIZE : sizeof(struct address_prefix);
}

static bool parse_element(const struct setting *setting, const char *text, union element *element) {
  if (setting->type == SETTING_SERVERS)
    return address_parse(text, DNS_PORT, &element->server);
  if (setting->type == SETTING_TARGETS)
    return link_target_parse(text, 0, &element->target);
  if (setting->type == SETTING_NAMES)
    return parse_name(text, element->name);
  if (setting->type == SETTING_ADDRESSES && strchr(text, '/'))
    return false;
  return address_prefix_parse(text, &element->prefix);
}

/* Appends the elements of `text`, separated by commas. */
static enum outcome append(const struct setting *setting, void *fields, const char *text) {
  size_t *count = list_count(setting, fields);
  for (;;) {
    text += strspn(text, " ");
    size_t length = strcspn(text, ", ");
    char piece[SETTING_NAME_SIZE + 1]; /* a name with its trailing dot */
    union element element = {.name = ""};
    if (length >= sizeof(piece))
      return BAD;
    memcpy(piece, text, length);
    piece[length] = '\0';
    if (!parse_element(setting, piece, &element))
      return BAD;
    if (*count == setting->max)
      return TOO_MANY;
    size_t size = element_size(setting);
    memcpy((char *)fields + setting->offset + (*count)++ * size, &element, size);
    text += length;
    text += strspn(text, " ");
    if (!*text)
      return GOOD;
    if (*text++ != ',')
      return BAD;
  }
}

static enum outcome in_range(const struct setting *setting, enum outcome outcome, uint64_t number) {
  if (outcome == GOOD && (number < setting->min || number > setting->max))
    return OUT_OF_RANGE;
  return outcome;
}

static enum outcome set_path(const struct setting *setting, char *field, const char *value) {
  size_t length = strlen(value);
  if (length < setting->min)
    return BAD;
  for (size_t i = 0; i < length; i++)
    if (iscntrl((unsigned char)value[i]))
      return BAD;
  if (length > setting->max)
    return OUT_OF_RANGE;
  memcpy(field, value, length + 1);
  return GOOD;
}

static enum outcome set_word(const struct setting *setting, char *field, const char *value) {
  size_t length = strlen(value);
  for (size_t i = 0; i < length; i++)
    if (value[i] <= ' ' || value[i] > '~')
      return BAD;
  if (length < setting->min || length > setting->max)
    return OUT_OF_RANGE;
  memcpy(field, value, length + 1);
  return GOOD;
}

/* Which of the words of `setting` it is; -1: none. */
static int find_word(const struct setting *setting, const char *value) {
  for (int i = 0; i < SETTING_WORDS_MAX && setting->words[i]; i++)
    if (strcmp(value, setting->words[i]) == 0)
      return i;
  return -1;
}

static enum outcome set_choice(const struct setting *setting, void *field, const char *value) {
  int found = find_word(setting, value);
  if (found < 0)
    return BAD;
  if (setting->type == SETTING_CHOICE)
    *(bool *)field = found;
  else
    *(unsigned *)field = (unsigned)found; /* what gcc and clang make of an enum without negative values */
  return GOOD;
}

static enum outcome set_target(struct link_target *field, const char *value) {
  struct link_target none = {.port = 0};
  if (*value)
    return link_target_parse(value, 0, field) ? GOOD : BAD;
  *field = none;
  return GOOD;
}

static enum outcome set(const struct setting *setting, void *fields, const char *value) {
  void *field = (char *)fields + setting->offset;
  uint64_t number = 0;
  enum outcome outcome = BAD;
  switch (setting->type) {
  case SETTING_PATH:
    return set_path(setting, field, value);
  case SETTING_MODE:
  case SETTING_NUMBER:
    outcome = parse_digits(value, value + strlen(value), setting->type == SETTING_MODE ? 8 : 10, &number);
    outcome = in_range(setting, outcome, number);
    if (outcome == GOOD)
      *(uint32_t *)field = (uint32_t)number;
    return outcome;
  case SETTING_SIZE:
    outcome = parse_size(value, &number);
    outcome = in_range(setting, outcome, number);
    if (outcome == GOOD)
      *(uint64_t *)field = number;
    return outcome;
  case SETTING_WORD:
    return set_word(setting, field, value);
  case SETTING_CHOICE:
  case SETTING_ENUM:
    return set_choice(setting, field, value);
  case SETTING_LEVEL:
    return log_level_parse(value, field) ? GOOD : BAD;
  case SETTING_TARGET:
    return set_target(field, value);
  case SETTING_SERVERS:
  case SETTING_NAMES:
  case SETTING_ADDRESSES:
  case SETTING_PREFIXES:
  case SETTING_TARGETS:
    return append(setting, fields, value);
  }
  return outcome;
}

/* ---- what is told ---- */

static const char *noun(enum setting_type type) {
  switch (type) {
  case SETTING_PATH:
    return "a path";
  case SETTING_MODE:
    return "a file mode";
  case SETTING_NUMBER:
    return "a number";
  case SETTING_SIZE:
    return "a size";
  case SETTING_WORD:
    return "a word";
  case SETTING_CHOICE:
  case SETTING_ENUM:
    return "a choice";
  case SETTING_LEVEL:
    return "a log level";
  case SETTING_SERVERS:
  case SETTING_TARGET:
  case SETTING_TARGETS:
    return "a server";
  case SETTING_NAMES:
    return "a name";
  case SETTING_ADDRESSES:
    return "an address";
  case SETTING_PREFIXES:
    return "a network";
  }
  return "";
}

static void describe_size(uint64_t bytes, char *text, size_t size) {
  size_t i = 0;
  while (bytes & (((uint64_t)1 << size_units[i].shift) - 1))
    i++;
  snprintf(text, size, "%" PRIu64 "%s", bytes >> size_units[i].shift, size_units[i].suffix);
}

/* "one, two or three". */
static void describe_words(const struct setting *setting, char *text, size_t size) {
  size_t length = 0;
  for (int i = 0; i < SETTING_WORDS_MAX && setting->words[i] && length < size; i++) {
    bool is_last = i + 1 == SETTING_WORDS_MAX || !setting->words[i + 1];
    const char *between = i == 0 ? "" : is_last ? " or " : ", ";
    length += (size_t)snprintf(text + length, size - length, "%s%s", between, setting->words[i]);
  }
}

void setting_expected(const struct setting *setting, char text[SETTING_EXPECTED_SIZE]) {
  const size_t room = SETTING_EXPECTED_SIZE;
  char size[32];
  switch (setting->type) {
  case SETTING_PATH:
    snprintf(text, room, "%" PRIu64 " to %" PRIu64 " octets without control characters", setting->min,
             setting->max);
    break;
  case SETTING_MODE:
    snprintf(text, room, "octal digits, 0 to 0%" PRIo64, setting->max);
    break;
  case SETTING_NUMBER:
    snprintf(text, room, "%" PRIu64 " to %" PRIu64 "%s", setting->min, setting->max, setting->unit);
    break;
  case SETTING_SIZE:
    describe_size(setting->min, size, sizeof(size));
    snprintf(text, room, "a number with KiB, MiB or GiB, at least %s", size);
    break;
  case SETTING_WORD:
    snprintf(text, room, "%" PRIu64 " to %" PRIu64 " visible ASCII characters", setting->min, setting->max);
    break;
  case SETTING_CHOICE:
    snprintf(text, room, "%s or %s", setting->words[1], setting->words[0]);
    break;
  case SETTING_ENUM:
    describe_words(setting, text, room);
    break;
  case SETTING_LEVEL:
    snprintf(text, room, "error, warning, notice, info or debug");
    break;
  case SETTING_SERVERS:
    snprintf(text, room, "ADDRESS, IPV4:PORT or [IPV6]:PORT, at most %" PRIu64, setting->max);
    break;
  case SETTING_TARGET:
    snprintf(text, room, "unix:/PATH, HOST:PORT or HOST");
    break;
  case SETTING_TARGETS:
    snprintf(text, room, "unix:/PATH, HOST:PORT or HOST, at most %" PRIu64, setting->max);
    break;
  case SETTING_NAMES:
    snprintf(text, room, "host names, at most %" PRIu64, setting->max);
    break;
  case SETTING_ADDRESSES:
    snprintf(text, room, "IPv4 or IPv6 addresses, at most %" PRIu64, setting->max);
    break;
  case SETTING_PREFIXES:
    snprintf(text, room, "ADDRESS or ADDRESS/BITS with nothing behind the bits, at most %" PRIu64,
             setting->max);
    break;
  }
}

int setting_set(const struct setting *setting, void *fields, const char *value,
                char reason[SETTING_REASON_SIZE]) {
  enum outcome outcome = set(setting, fields, value);
  char expected[SETTING_EXPECTED_SIZE];
  setting_expected(setting, expected);
  switch (outcome) {
  case GOOD:
    return 0;
  case BAD:
    snprintf(reason, SETTING_REASON_SIZE, "\"%.60s\" is not %s: expected %s", value, noun(setting->type),
             expected);
    break;
  case OUT_OF_RANGE:
    snprintf(reason, SETTING_REASON_SIZE, "\"%.60s\" is out of range: expected %s", value, expected);
    break;
  case TOO_MANY:
    snprintf(reason, SETTING_REASON_SIZE, "\"%.60s\" is one too many: expected %s", value, expected);
    break;
  }
  return ERR_CONFIG;
}

/* ---- to text ---- */

/* An element of a list as it is written; into `text`, or where it is. */
static const char *element_text(const struct setting *setting, const void *element,
                                char text[ELEMENT_TEXT_SIZE]) {
  if (setting->type == SETTING_TARGETS)
    return link_target_text(element, text);
  if (setting->type == SETTING_SERVERS)
    return address_text(element, text);
  return setting->type == SETTING_NAMES ? element : address_prefix_text(element, text);
}

static void print_list(const struct setting *setting, const void *fields, FILE *out) {
  const char *element = (const char *)fields + setting->offset;
  size_t count = *(const size_t *)((const char *)fields + setting->count_offset);
  char text[ELEMENT_TEXT_SIZE];
  fputc('{', out);
  for (size_t i = 0; i < count; i++, element += element_size(setting)) {
    fputs(i ? ", " : "", out);
    conffile_print_quoted(element_text(setting, element, text), out);
  }
  fputc('}', out);
}

void setting_print(const struct setting *setting, const void *fields, FILE *out) {
  const void *field = (const char *)fields + setting->offset;
  char size[32], target[LINK_TARGET_TEXT_SIZE];
  switch (setting->type) {
  case SETTING_PATH:
  case SETTING_WORD:
    conffile_print_quoted(field, out);
    break;
  case SETTING_MODE:
    fprintf(out, "0%" PRIo32, *(const uint32_t *)field);
    break;
  case SETTING_NUMBER:
    fprintf(out, "%" PRIu32, *(const uint32_t *)field);
    break;
  case SETTING_SIZE:
    describe_size(*(const uint64_t *)field, size, sizeof(size));
    fputs(size, out);
    break;
  case SETTING_CHOICE:
    fputs(setting->words[*(const bool *)field], out);
    break;
  case SETTING_ENUM:
    fputs(setting->words[*(const unsigned *)field], out);
    break;
  case SETTING_LEVEL:
    fputs(log_level_name(*(const enum log_level *)field), out);
    break;
  case SETTING_TARGET:
    conffile_print_quoted(link_target_text(field, target), out);
    break;
  case SETTING_SERVERS:
  case SETTING_NAMES:
  case SETTING_ADDRESSES:
  case SETTING_PREFIXES:
  case SETTING_TARGETS:
    print_list(setting, fields, out);
    break;
  }
}
