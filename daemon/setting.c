#include "setting.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "address.h"
#include "error.h"
#include "log.h"

enum { DNS_PORT = 53 };

enum outcome { GOOD, BAD, OUT_OF_RANGE, TOO_MANY };

bool setting_is_list(const struct setting *setting) { return setting->type == SETTING_SERVERS; }

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

/* Appends the servers of `text`, separated by commas. */
static enum outcome append_servers(const struct setting *setting, void *fields, const char *text) {
  struct sockaddr_storage *servers = (struct sockaddr_storage *)((char *)fields + setting->offset);
  size_t *count = list_count(setting, fields);
  for (;;) {
    text += strspn(text, " ");
    size_t length = strcspn(text, ", ");
    char piece[ADDRESS_TEXT_SIZE];
    struct sockaddr_storage server;
    if (length >= sizeof(piece))
      return BAD;
    memcpy(piece, text, length);
    piece[length] = '\0';
    if (!address_parse(piece, DNS_PORT, &server))
      return BAD;
    if (*count == setting->max)
      return TOO_MANY;
    servers[(*count)++] = server;
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
  if (length == 0)
    return BAD;
  for (size_t i = 0; i < length; i++)
    if (iscntrl((unsigned char)value[i]))
      return BAD;
  if (length > setting->max)
    return OUT_OF_RANGE;
  memcpy(field, value, length + 1);
  return GOOD;
}

static enum outcome set_choice(const struct setting *setting, bool *field, const char *value) {
  for (int on = 0; on < 2; on++)
    if (strcmp(value, setting->off_on[on]) == 0) {
      *field = on;
      return GOOD;
    }
  return BAD;
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
  case SETTING_CHOICE:
    return set_choice(setting, field, value);
  case SETTING_LEVEL:
    return log_level_parse(value, field) ? GOOD : BAD;
  case SETTING_SERVERS:
    return append_servers(setting, fields, value);
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
  case SETTING_CHOICE:
    return "a choice";
  case SETTING_LEVEL:
    return "a log level";
  case SETTING_SERVERS:
    return "a server";
  }
  return "";
}

static void describe_size(uint64_t bytes, char *text, size_t size) {
  size_t i = 0;
  while (bytes & (((uint64_t)1 << size_units[i].shift) - 1))
    i++;
  snprintf(text, size, "%" PRIu64 "%s", bytes >> size_units[i].shift, size_units[i].suffix);
}

void setting_expected(const struct setting *setting, char text[SETTING_EXPECTED_SIZE]) {
  const size_t room = SETTING_EXPECTED_SIZE;
  char size[32];
  switch (setting->type) {
  case SETTING_PATH:
    snprintf(text, room, "1 to %" PRIu64 " octets without control characters", setting->max);
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
  case SETTING_CHOICE:
    snprintf(text, room, "%s or %s", setting->off_on[1], setting->off_on[0]);
    break;
  case SETTING_LEVEL:
    snprintf(text, room, "error, warning, notice, info or debug");
    break;
  case SETTING_SERVERS:
    snprintf(text, room, "ADDRESS, IPV4:PORT or [IPV6]:PORT, at most %" PRIu64, setting->max);
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

void setting_print_quoted(const char *text, FILE *out) {
  fputc('"', out);
  for (; *text; text++) {
    if (strchr("\"\\$", *text))
      fputc('\\', out);
    fputc(*text, out);
  }
  fputc('"', out);
}

static void print_servers(const struct setting *setting, const void *fields, FILE *out) {
  const struct sockaddr_storage *servers =
      (const struct sockaddr_storage *)((const char *)fields + setting->offset);
  size_t count = *(const size_t *)((const char *)fields + setting->count_offset);
  char text[ADDRESS_TEXT_SIZE];
  fputc('{', out);
  for (size_t i = 0; i < count; i++)
    fprintf(out, "%s\"%s\"", i ? ", " : "", address_text(&servers[i], text));
  fputc('}', out);
}

void setting_print(const struct setting *setting, const void *fields, FILE *out) {
  const void *field = (const char *)fields + setting->offset;
  char size[32];
  switch (setting->type) {
  case SETTING_PATH:
    setting_print_quoted(field, out);
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
    fputs(setting->off_on[*(const bool *)field], out);
    break;
  case SETTING_LEVEL:
    fputs(log_level_name(*(const enum log_level *)field), out);
    break;
  case SETTING_SERVERS:
    print_servers(setting, fields, out);
    break;
  }
}
