#include "rules/override.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/conffile.h"
#include "base/error.h"
#include "rules/name.h"

static const char expires[] = "expires", reject[] = "reject", blanks[] = " \t\r\n";

/* For strptime and strftime. */
static const char date_alone[] = "%Y-%m-%d", date_and_time[] = "%Y-%m-%dT%H:%M:%SZ";

enum { SMTP_PORT = 25, DATE_SIZE = 32 };

static const struct name_policy any_name = {.allow_single_label = true};

/* A piece of the operator's text, without blanks around it. */
struct piece {
  const char *at;
  size_t length;
};

static struct piece trim(const char *at, size_t length) {
  while (length > 0 && strchr(blanks, *at))
    at++, length--;
  while (length > 0 && strchr(blanks, at[length - 1]))
    length--;
  return (struct piece){at, length};
}

static size_t word_length(const struct piece *piece) {
  size_t length = 0;
  while (length < piece->length && !strchr(blanks, piece->at[length]))
    length++;
  return length;
}

/* Takes `word` from the beginning of `piece`, where it is its first. */
static bool take_word(struct piece *piece, const char *word) {
  size_t length = strlen(word);
  if (word_length(piece) != length || memcmp(piece->at, word, length) != 0)
    return false;
  *piece = trim(piece->at + length, piece->length - length);
  return true;
}

static int fail(char reason[OVERRIDE_REASON_SIZE], const struct piece *piece, const char *text) {
  int length = piece->length > 100 ? 100 : (int)piece->length;
  snprintf(reason, OVERRIDE_REASON_SIZE, "\"%.*s\": %s", length, piece->at, text);
  return ERR_CONFIG;
}

/* Decimal digits and nothing else, up to `max`. */
static bool parse_number(const struct piece *piece, unsigned max, unsigned *number) {
  *number = 0;
  for (size_t i = 0; i < piece->length; i++) {
    unsigned digit = (unsigned)(unsigned char)piece->at[i] - '0';
    if (digit > 9 || (*number = *number * 10 + digit) > max)
      return false;
  }
  return piece->length > 0;
}

/* ---- the date ---- */

/* Whether `piece` has a digit wherever `format` has 0, and else what it has itself. */
static bool has_format(const struct piece *piece, const char *format) {
  if (piece->length != strlen(format))
    return false;
  for (size_t i = 0; i < piece->length; i++) {
    bool is_digit = (unsigned)(unsigned char)piece->at[i] - '0' < 10;
    if (format[i] == '0' ? !is_digit : piece->at[i] != format[i])
      return false;
  }
  return true;
}

static int parse_date(const struct piece *piece, int64_t *unix_s, char reason[OVERRIDE_REASON_SIZE]) {
  char text[DATE_SIZE] = "";
  bool has_time = has_format(piece, "0000-00-00T00:00:00Z");
  if (has_time || has_format(piece, "0000-00-00"))
    memcpy(text, piece->at, piece->length);
  struct tm wanted = {0};
  const char *end = strptime(text, has_time ? date_and_time : date_alone, &wanted);
  /* timegm makes 1 March of 30 February, and a minute of 60 seconds. */
  struct tm real = wanted;
  time_t seconds = timegm(&real);
  if (!*text || !end || seconds < 0 || real.tm_mday != wanted.tm_mday || real.tm_sec != wanted.tm_sec)
    return fail(reason, piece, "expected a date as 2026-12-31 or 2026-12-31T23:59:59Z, in UTC");
  *unix_s = seconds;
  return 0;
}

/* Takes ", expires DATE" off the end of `value`. */
static int take_expiry(struct piece *value, int64_t *unix_s, char reason[OVERRIDE_REASON_SIZE]) {
  const char *comma = memrchr(value->at, ',', value->length);
  *unix_s = INT64_MAX;
  if (!comma)
    return 0;
  struct piece last = trim(comma + 1, (size_t)(value->at + value->length - comma - 1));
  if (!take_word(&last, expires))
    return 0;
  *value = trim(value->at, (size_t)(comma - value->at));
  return parse_date(&last, unix_s, reason);
}

/* ---- the pattern ---- */

static const char quoted[] = "a name has no quotation marks";

static int parse_pattern(const char *text, struct override *override, char reason[OVERRIDE_REASON_SIZE]) {
  const struct piece whole = trim(text, strlen(text));
  struct piece domain = whole;
  override->is_suffix = whole.length >= 2 && memcmp(whole.at, "*.", 2) == 0;
  if (override->is_suffix)
    domain = (struct piece){whole.at + 2, whole.length - 2};
  if (memchr(whole.at, '"', whole.length))
    return fail(reason, &whole, quoted);
  struct name name;
  enum name_error error = name_parse((const uint8_t *)domain.at, domain.length, &any_name, &name);
  if (error == NAME_BARE_ADDRESS || (error == NAME_OK && name.kind == NAME_LITERAL))
    return fail(reason, &whole, "an address has no route; expected DOMAIN or *.DOMAIN");
  if (error != NAME_OK)
    return fail(reason, &whole, name_error_text(error));
  if (memchr(name.text, '*', name.length))
    return fail(reason, &whole, "a * is for the first label alone; expected DOMAIN or *.DOMAIN");
  override->length = name.length;
  memcpy(override->name, name.text, name.length + 1u);
  return 0;
}

const char *override_pattern(const struct override *override, char text[OVERRIDE_PATTERN_SIZE]) {
  snprintf(text, OVERRIDE_PATTERN_SIZE, "%s%s", override->is_suffix ? "*." : "", override->name);
  return text;
}

/* ---- exchanges ---- */

/* Takes the port off the end of `target`; behind a bracket for an address. */
static bool take_port(struct piece *target, uint16_t *port) {
  bool is_address = target->at[0] == '[';
  const char *from = is_address ? memchr(target->at, ']', target->length) : target->at;
  const char *end = target->at + target->length;
  const char *colon = from ? memchr(from, ':', (size_t)(end - from)) : NULL;
  *port = 0;
  if (!colon)
    return true;
  unsigned number;
  const struct piece digits = {colon + 1, (size_t)(end - colon - 1)};
  target->length = (size_t)(colon - target->at);
  if (!parse_number(&digits, UINT16_MAX, &number) || number == 0)
    return false;
  *port = number == SMTP_PORT ? 0 : (uint16_t)number;
  return true;
}

/* No host's name ends in a number: it is an address gone wrong, or a preference. */
static bool ends_in_number(const struct name *name) {
  const char *dot = memrchr(name->text, '.', name->length);
  const char *last = dot ? dot + 1 : name->text;
  return name->kind == NAME_DOMAIN && strspn(last, "0123456789") == strlen(last);
}

static int parse_exchange(const struct piece *piece, struct exchange_value *exchange,
                          char reason[OVERRIDE_REASON_SIZE]) {
  size_t length = word_length(piece);
  struct piece target = {piece->at, length}, rest = trim(piece->at + length, piece->length - length);
  unsigned preference = OVERRIDE_PREFERENCE;
  if (target.length == 0)
    return fail(reason, piece, "expected EXCHANGE[:PORT] [PREFERENCE]");
  if (rest.length > 0 && !parse_number(&rest, UINT16_MAX, &preference))
    return fail(reason, &rest, "expected a preference, 0 to 65535");
  if (memchr(target.at, '"', target.length))
    return fail(reason, &target, quoted);
  if (!take_port(&target, &exchange->port))
    return fail(reason, piece, "expected a port, 1 to 65535, behind the colon");
  struct name name;
  enum name_error error = name_parse((const uint8_t *)target.at, target.length, &any_name, &name);
  if (error != NAME_OK)
    return fail(reason, &target, name_error_text(error));
  if (ends_in_number(&name))
    return fail(reason, &target, "a host name does not end in a number");
  exchange->preference = (uint16_t)preference;
  memcpy(exchange->host, name.text, name.length + 1u);
  return 0;
}

static bool is_twice(const struct override *override, const struct exchange_value *exchange) {
  for (uint16_t i = 0; i < override->count; i++)
    if (override->exchanges[i].port == exchange->port &&
        strcmp(override->exchanges[i].host, exchange->host) == 0)
      return true;
  return false;
}

static int compare_exchanges(const void *a, const void *b) {
  const struct exchange_value *x = a, *y = b;
  int order = (int)x->preference - (int)y->preference;
  if (order == 0)
    order = strcmp(x->host, y->host);
  return order ? order : (int)x->port - (int)y->port;
}

/* `override` has room for as many as `list` has commas and one more, up to the bound. */
static int parse_exchanges(const struct piece *list, struct override *override,
                           char reason[OVERRIDE_REASON_SIZE]) {
  const char *at = list->at, *end = list->at + list->length;
  for (bool is_last = false; !is_last;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    is_last = !comma;
    const struct piece piece = trim(at, (size_t)((comma ? comma : end) - at));
    if (override->count == OVERRIDE_EXCHANGES_MAX)
      return fail(reason, &piece, "one exchange too many: expected at most 32");
    struct exchange_value *exchange = &override->exchanges[override->count];
    int error = parse_exchange(&piece, exchange, reason);
    if (error != 0)
      return error;
    if (is_twice(override, exchange))
      return fail(reason, &piece, "this exchange stands twice");
    override->count++;
    at = comma + 1;
  }
  qsort(override->exchanges, override->count, sizeof(override->exchanges[0]), compare_exchanges);
  return 0;
}

/* ---- the whole ---- */

static int parse_detail(const struct piece *detail, struct override *override,
                        char reason[OVERRIDE_REASON_SIZE]) {
  bool is_printable = true;
  for (size_t i = 0; i < detail->length; i++)
    is_printable &= detail->at[i] >= 0x20 && detail->at[i] < 0x7f;
  if (!is_printable || detail->length > OVERRIDE_DETAIL_MAX)
    return fail(reason, detail, "expected at most 200 printable ASCII characters");
  override->rejects = true;
  memcpy(override->detail, detail->at, detail->length);
  return 0;
}

static int fill(struct override *override, const char *pattern, struct piece *value,
                char reason[OVERRIDE_REASON_SIZE]) {
  int error = parse_pattern(pattern, override, reason);
  if (error == 0)
    error = take_expiry(value, &override->expires_at_s, reason);
  if (error != 0)
    return error;
  return take_word(value, reject) ? parse_detail(value, override, reason)
                                  : parse_exchanges(value, override, reason);
}

int override_parse(const char *pattern, const char *value, struct override **result,
                   char reason[OVERRIDE_REASON_SIZE]) {
  struct piece rest = trim(value, strlen(value));
  size_t most = 1;
  for (size_t i = 0; i < rest.length && most < OVERRIDE_EXCHANGES_MAX; i++)
    most += rest.at[i] == ',';
  struct override *override = calloc(1, sizeof(*override) + most * sizeof(override->exchanges[0]));
  if (!override)
    return ERR_NOMEM;
  int error = fill(override, pattern, &rest, reason);
  if (error != 0) {
    free(override);
    return error;
  }
  *result = override;
  return 0;
}

/* ---- to text ---- */

static void print_exchange(const struct exchange_value *exchange, FILE *out) {
  uint8_t octets[NAME_ADDRESS_MAX];
  size_t length = name_as_address(exchange->host, strlen(exchange->host), octets);
  if (length > 0)
    fprintf(out, "[%s%s]", length == 16 ? "IPv6:" : "", exchange->host);
  else
    fputs(exchange->host, out);
  if (exchange->port)
    fprintf(out, ":%u", exchange->port);
  fprintf(out, " %u", exchange->preference);
}

static void print_expiry(int64_t unix_s, FILE *out) {
  char text[DATE_SIZE];
  struct tm date;
  time_t seconds = (time_t)unix_s;
  if (unix_s == INT64_MAX || !gmtime_r(&seconds, &date))
    return;
  bool has_time = date.tm_hour || date.tm_min || date.tm_sec;
  strftime(text, sizeof(text), has_time ? date_and_time : date_alone, &date);
  fprintf(out, ", %s %s", expires, text);
}

void override_print(const struct override *override, FILE *out) {
  char pattern[OVERRIDE_PATTERN_SIZE], *value = NULL;
  size_t size;
  FILE *text = open_memstream(&value, &size);
  if (!text)
    return;
  if (override->rejects)
    fprintf(text, "%s%s%s", reject, *override->detail ? " " : "", override->detail);
  for (uint16_t i = 0; i < override->count; i++) {
    fputs(i ? ", " : "", text);
    print_exchange(&override->exchanges[i], text);
  }
  print_expiry(override->expires_at_s, text);
  if (fclose(text) == 0) {
    fputs("route ", out);
    conffile_print_quoted(override_pattern(override, pattern), out);
    fputs(" = ", out);
    conffile_print_quoted(value, out);
    fputc('\n', out);
  }
  free(value);
}

/* ---- lists ---- */

void override_list_fini(struct override_list *list) {
  for (size_t i = 0; i < list->count; i++)
    free(list->items[i]);
  free(list->items);
  *list = (struct override_list){0};
}

static int compare_patterns(const struct override *a, const struct override *b) {
  int order = strcmp(a->name, b->name);
  return order ? order : (int)a->is_suffix - (int)b->is_suffix;
}

/* Where the route for a pattern stands, or would stand. */
static size_t place_of(const struct override_list *list, const struct override *override, bool *is_there) {
  size_t low = 0, high = list->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (compare_patterns(list->items[middle], override) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  *is_there = low < list->count && compare_patterns(list->items[low], override) == 0;
  return low;
}

bool override_list_has(const struct override_list *list, const struct override *override) {
  bool is_there;
  place_of(list, override, &is_there);
  return is_there;
}

static int reserve(struct override_list *list, size_t count) {
  if (count <= list->capacity)
    return 0;
  size_t capacity = 2 * count;
  struct override **items = realloc(list->items, capacity * sizeof(struct override *));
  if (!items)
    return ERR_NOMEM;
  list->items = items;
  list->capacity = capacity;
  return 0;
}

int override_list_put(struct override_list *list, struct override *override) {
  bool is_there;
  size_t at = place_of(list, override, &is_there);
  if (is_there) {
    free(list->items[at]);
    list->items[at] = override;
    return 0;
  }
  if (list->count == OVERRIDES_MAX)
    return ERR_TOO_LARGE;
  if (reserve(list, list->count + 1) != 0)
    return ERR_NOMEM;
  memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof(struct override *));
  list->items[at] = override;
  list->count++;
  return 0;
}

int override_list_move(struct override_list *list, struct override_list *from) {
  size_t added = 0;
  for (size_t i = 0; i < from->count; i++)
    added += !override_list_has(list, from->items[i]);
  if (list->count + added > OVERRIDES_MAX)
    return ERR_TOO_LARGE;
  if (reserve(list, list->count + added) != 0)
    return ERR_NOMEM;
  for (size_t i = 0; i < from->count; i++)
    override_list_put(list, from->items[i]);
  from->count = 0;
  override_list_fini(from);
  return 0;
}
