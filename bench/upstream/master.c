#include "master.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WORDS_MAX = 256, RDATA_MAX = 65535, SOA_NUMBERS = 5 };

struct word {
  const char *text; /* escapes as they came */
  size_t length;
  bool is_quoted;
};

/* One record or directive with all lines that its parentheses hold together. */
struct entry {
  bool has_owner; /* the line begins with no blank */
  size_t count, line;
  struct word words[WORDS_MAX];
};

struct master {
  struct zone *zone;
  const char *label, *at, *end;
  size_t line;
  struct dname origin, owner;
  bool has_owner, has_soa;
  uint32_t ttl_s;
  char *error;
  uint8_t rdata[RDATA_MAX];
  size_t rdata_length;
};

static int wrong(struct master *master, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int wrong(struct master *master, size_t line, const char *format, ...) {
  char text[MASTER_ERROR_SIZE / 2];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  snprintf(master->error, MASTER_ERROR_SIZE, "%.200s:%zu: %s", master->label, line, text);
  return -1;
}

/* ---- text into words ---- */

static int read_quoted(struct master *master, struct word *word) {
  size_t line = master->line;
  *word = (struct word){.text = ++master->at, .is_quoted = true};
  for (; master->at < master->end && *master->at != '"'; master->at++) {
    if (*master->at == '\n')
      master->line++;
    if (*master->at == '\\' && master->at + 1 < master->end)
      master->at++;
  }
  if (master->at == master->end)
    return wrong(master, line, "a string without its closing quote");
  word->length = (size_t)(master->at++ - word->text);
  return 0;
}

static void read_plain(struct master *master, struct word *word) {
  *word = (struct word){.text = master->at};
  while (master->at < master->end && !strchr(" \t\r\n;()\"", *master->at)) {
    if (*master->at == '\\' && master->at + 1 < master->end && master->at[1] != '\n')
      master->at++;
    master->at++;
  }
  word->length = (size_t)(master->at - word->text);
}

/* Skips blanks, comments and, where `depth` says so, ends of lines. False at the end of the entry. */
static bool skip(struct master *master, int depth) {
  while (master->at < master->end) {
    if (*master->at == ';') {
      while (master->at < master->end && *master->at != '\n')
        master->at++;
    } else if (*master->at == '\n') {
      master->at++;
      master->line++;
      if (depth == 0)
        return false;
    } else if (strchr(" \t\r", *master->at) && *master->at) {
      master->at++;
    } else {
      return true;
    }
  }
  return false;
}

/* Reads up to the end of a line outside of parentheses. */
static int read_entry(struct master *master, struct entry *entry) {
  int depth = 0;
  entry->has_owner = !strchr(" \t\r\n;(", *master->at) || !*master->at;
  entry->count = 0;
  entry->line = master->line;
  while (skip(master, depth)) {
    if (*master->at == '(' || *master->at == ')') {
      depth += *master->at++ == '(' ? 1 : -1;
      if (depth < 0)
        return wrong(master, master->line, "a closing parenthesis without its opening one");
      continue;
    }
    if (!*master->at)
      return wrong(master, master->line, "an octet of zero in the text");
    if (entry->count == WORDS_MAX)
      return wrong(master, master->line, "more than %d words in one record", WORDS_MAX);
    struct word *word = &entry->words[entry->count++];
    if (*master->at != '"')
      read_plain(master, word);
    else if (read_quoted(master, word))
      return -1;
  }
  return depth ? wrong(master, entry->line, "an opening parenthesis without its closing one") : 0;
}

/* ---- words into values ---- */

static bool is_word(const struct word *word, const char *text) {
  return !word->is_quoted && word->length == strlen(text) && strncasecmp(word->text, text, word->length) == 0;
}

static bool read_number(const struct word *word, uint32_t most, uint32_t *out) {
  uint64_t value = 0;
  for (size_t i = 0; i < word->length; i++) {
    if (!isdigit((unsigned char)word->text[i]))
      return false;
    value = value * 10 + (uint64_t)(word->text[i] - '0');
    if (value > most)
      return false;
  }
  *out = (uint32_t)value;
  return word->length > 0;
}

/* Seconds, or numbers with units: 1h30m. */
static bool read_ttl(const struct word *word, uint32_t *out) {
  static const char units[] = "smhdw";
  static const uint32_t unit_s[] = {1, 60, 3600, 86400, 604800};
  if (read_number(word, UINT32_MAX, out))
    return true;
  uint64_t total = 0, value = 0;
  bool has_digit = false;
  for (size_t i = 0; i < word->length; i++) {
    char c = (char)tolower((unsigned char)word->text[i]);
    const char *unit = c ? strchr(units, c) : NULL;
    if (isdigit((unsigned char)c)) {
      value = value * 10 + (uint64_t)(c - '0');
      has_digit = true;
    } else if (unit && has_digit) {
      total += value * unit_s[unit - units];
      value = 0;
      has_digit = false;
    } else {
      return false;
    }
    if (value > UINT32_MAX || total > UINT32_MAX)
      return false;
  }
  *out = (uint32_t)total;
  return word->length > 0 && !has_digit;
}

static int read_name(struct master *master, const struct entry *entry, const struct word *word,
                     struct dname *out) {
  if (is_word(word, "@")) {
    *out = master->origin;
    return 0;
  }
  if (!dname_parse(word->text, word->length, &master->origin, out))
    return wrong(master, entry->line, "'%.*s' is no name", (int)word->length, word->text);
  return 0;
}

/* ---- values into rdata ---- */

static void put(struct master *master, const void *bytes, size_t length) {
  memcpy(master->rdata + master->rdata_length, bytes, length);
  master->rdata_length += length;
}

static void put_u32(struct master *master, uint32_t value) {
  value = htonl(value);
  put(master, &value, sizeof(value));
}

static int put_name(struct master *master, const struct entry *entry, const struct word *word) {
  struct dname name;
  if (read_name(master, entry, word, &name))
    return -1;
  put(master, name.bytes, name.length);
  return 0;
}

static int put_address(struct master *master, const struct entry *entry, const struct word *word,
                       int family) {
  char text[INET6_ADDRSTRLEN];
  uint8_t address[16];
  if (word->length >= sizeof(text))
    return wrong(master, entry->line, "'%.*s' is no address", (int)word->length, word->text);
  memcpy(text, word->text, word->length);
  text[word->length] = '\0';
  if (inet_pton(family, text, address) != 1)
    return wrong(master, entry->line, "'%s' is no IPv%c address", text, family == AF_INET ? '4' : '6');
  put(master, address, family == AF_INET ? 4 : 16);
  return 0;
}

static int put_mx(struct master *master, const struct entry *entry, const struct word *words) {
  uint32_t preference;
  if (!read_number(&words[0], UINT16_MAX, &preference))
    return wrong(master, entry->line, "'%.*s' is no preference (0 to 65535)", (int)words[0].length,
                 words[0].text);
  put(master, &(uint16_t){htons((uint16_t)preference)}, 2);
  return put_name(master, entry, &words[1]);
}

static int put_soa(struct master *master, const struct entry *entry, const struct word *words) {
  if (put_name(master, entry, &words[0]) || put_name(master, entry, &words[1]))
    return -1;
  for (size_t i = 0; i < SOA_NUMBERS; i++) {
    uint32_t value;
    if (!read_ttl(&words[2 + i], &value))
      return wrong(master, entry->line, "'%.*s' is no number of seconds", (int)words[2 + i].length,
                   words[2 + i].text);
    put_u32(master, value);
  }
  master->has_soa = true;
  return 0;
}

static int put_string(struct master *master, const struct entry *entry, const struct word *word) {
  uint8_t string[1 + 255];
  size_t length = 0;
  for (size_t i = 0; i < word->length; length++) {
    unsigned octet = (uint8_t)word->text[i++];
    if (octet == '\\' && i + 2 < word->length && isdigit((unsigned char)word->text[i])) {
      char digits[4] = {word->text[i], word->text[i + 1], word->text[i + 2], '\0'};
      char *rest;
      octet = (unsigned)strtoul(digits, &rest, 10);
      if (*rest || octet > 255)
        return wrong(master, entry->line, "'\\%s' is no octet", digits);
      i += 3;
    } else if (octet == '\\' && i < word->length) {
      octet = (uint8_t)word->text[i++];
    }
    if (length == 255)
      return wrong(master, entry->line, "a string of more than 255 octets");
    string[1 + length] = (uint8_t)octet;
  }
  if (master->rdata_length + 1 + length > RDATA_MAX)
    return wrong(master, entry->line, "a record of more than %d octets", RDATA_MAX);
  string[0] = (uint8_t)length;
  put(master, string, 1 + length);
  return 0;
}

static int put_rdata(struct master *master, const struct entry *entry, uint16_t type,
                     const struct word *words, size_t count) {
  size_t expected = type == TYPE_SOA ? 2 + SOA_NUMBERS : type == TYPE_MX ? 2 : type == TYPE_TXT ? count : 1;
  if (count != expected || count == 0)
    return wrong(master, entry->line, "%s with %zu values where %zu are due", record_type_text(type), count,
                 expected ? expected : 1);
  master->rdata_length = 0;
  switch (type) {
  case TYPE_A:
    return put_address(master, entry, words, AF_INET);
  case TYPE_AAAA:
    return put_address(master, entry, words, AF_INET6);
  case TYPE_MX:
    return put_mx(master, entry, words);
  case TYPE_SOA:
    return put_soa(master, entry, words);
  case TYPE_TXT:
    for (size_t i = 0; i < count; i++)
      if (put_string(master, entry, &words[i]))
        return -1;
    return 0;
  default: /* NS, CNAME: one name */
    return put_name(master, entry, words);
  }
}

/* ---- entries ---- */

static int take_directive(struct master *master, const struct entry *entry) {
  const struct word *name = &entry->words[0];
  if (entry->count != 2)
    return wrong(master, entry->line, "%.*s takes one value", (int)name->length, name->text);
  if (is_word(name, "$ORIGIN"))
    return read_name(master, entry, &entry->words[1], &master->origin);
  if (!is_word(name, "$TTL"))
    return wrong(master, entry->line, "%.*s is not known here", (int)name->length, name->text);
  if (!read_ttl(&entry->words[1], &master->ttl_s))
    return wrong(master, entry->line, "'%.*s' is no TTL", (int)entry->words[1].length, entry->words[1].text);
  return 0;
}

static uint16_t type_of(const struct word *word) {
  char text[16];
  if (word->is_quoted || word->length >= sizeof(text))
    return 0;
  memcpy(text, word->text, word->length);
  text[word->length] = '\0';
  return record_type_parse(text);
}

static int take_record(struct master *master, const struct entry *entry) {
  size_t at = 0;
  if (entry->has_owner) {
    if (read_name(master, entry, &entry->words[at++], &master->owner))
      return -1;
    master->has_owner = true;
  } else if (!master->has_owner) {
    return wrong(master, entry->line, "no name, and none before to take");
  }
  uint32_t ttl_s = master->ttl_s;
  /* A type may look like a TTL to nobody, and TTL and class come in either order. */
  while (at < entry->count && (is_word(&entry->words[at], "IN") || read_ttl(&entry->words[at], &ttl_s)))
    at++;
  uint16_t type = at < entry->count ? type_of(&entry->words[at]) : 0;
  if (at == entry->count)
    return wrong(master, entry->line, "a name without a record");
  if (type == 0)
    return wrong(master, entry->line, "'%.*s' is no type known here (A AAAA MX CNAME SOA NS TXT)",
                 (int)entry->words[at].length, entry->words[at].text);
  at++;
  if (put_rdata(master, entry, type, entry->words + at, entry->count - at))
    return -1;
  if (zone_put(master->zone, &master->owner, type, ttl_s, master->rdata, master->rdata_length))
    return wrong(master, entry->line, "not enough memory");
  return 0;
}

int master_parse(struct zone *zone, const char *label, const char *text, size_t length,
                 char error[MASTER_ERROR_SIZE]) {
  static const char default_soa[] = ". 900 SOA ns. root. 1 7200 900 1209600 900\n";
  struct master *master = calloc(1, sizeof(*master));
  struct entry *entry = calloc(1, sizeof(*entry));
  int result = -1;
  if (!master || !entry) {
    snprintf(error, MASTER_ERROR_SIZE, "%.200s: not enough memory", label);
    goto done;
  }
  *master = (struct master){.zone = zone, .label = label, .at = text, .end = text + length, .error = error};
  master->line = 1;
  master->ttl_s = MASTER_DEFAULT_TTL_S;
  master->origin.length = 1;
  for (bool is_default = false;;) {
    while (master->at < master->end) {
      if (read_entry(master, entry))
        goto done;
      if (entry->count > 0 &&
          (entry->words[0].text[0] == '$' ? take_directive(master, entry) : take_record(master, entry)))
        goto done;
    }
    if (master->has_soa || is_default)
      break;
    is_default = true;
    master->at = default_soa;
    master->end = default_soa + sizeof(default_soa) - 1;
  }
  result = 0;
done:
  free(entry);
  free(master);
  return result;
}

int master_load(struct zone *zone, const char *path, char error[MASTER_ERROR_SIZE]) {
  char *text = NULL;
  size_t length = 0, capacity = 0;
  int result = -1;
  FILE *file = fopen(path, "re");
  if (!file)
    goto failed;
  for (;;) {
    if (length == capacity) {
      capacity = capacity ? capacity * 2 : 65536;
      char *more = realloc(text, capacity);
      if (!more)
        goto failed;
      text = more;
    }
    size_t more = fread(text + length, 1, capacity - length, file);
    if (more == 0)
      break;
    length += more;
  }
  if (ferror(file))
    goto failed;
  result = master_parse(zone, path, text, length, error);
  goto done;
failed:
  snprintf(error, MASTER_ERROR_SIZE, "%.200s: %s", path, strerror(errno));
done:
  if (file)
    fclose(file);
  free(text);
  return result;
}
