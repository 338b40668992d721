#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"

/* Three digits, as far as they stand before the point: "1.24", "12.4", "124", "1240". */
static void put_digits(struct format_text *to, double value, const char *unit) {
  int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  snprintf(to->text, sizeof to->text, "%.*f%s", decimals, value, unit);
}

/* In the greatest unit of which there is at least one, with regard to rounding. */
static struct format_text scaled(double value, const char *const *units, size_t unit_count, double step) {
  struct format_text formatted = {"-"};
  if (isnan(value))
    return formatted;
  size_t unit = 0;
  while (unit + 1 < unit_count && value >= 999.5 && value / step >= 0.9995) {
    value /= step;
    unit++;
  }
  put_digits(&formatted, value, units[unit]);
  return formatted;
}

struct format_text format_rate(double per_second) {
  static const char *const units[] = {" /s", " k/s", " M/s", " G/s"};
  return scaled(per_second, units, 4, 1e3);
}

struct format_text format_time(double us) {
  static const char *const units[] = {" us", " ms", " s"};
  return scaled(us, units, 3, 1e3);
}

struct format_text format_bytes(uint64_t bytes) {
  static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  struct format_text formatted;
  if (bytes < 1000) {
    snprintf(formatted.text, sizeof formatted.text, "%" PRIu64 " B", bytes);
    return formatted;
  }
  return scaled((double)bytes, units, 5, 1024);
}

struct format_text format_seconds(double s) {
  struct format_text formatted = {"-"};
  if (!isnan(s))
    snprintf(formatted.text, sizeof formatted.text, s < 999.5 ? "%.3g s" : "%.0f s", s);
  return formatted;
}

static struct format_text ratio_with(double ratio, const char *sign) {
  struct format_text formatted = {"-"};
  if (isnan(ratio))
    return formatted;
  if (ratio > 0 && ratio < 0.0995)
    snprintf(formatted.text, sizeof formatted.text, "%s%.3f%s", ratio < 0.0005 ? "<" : "", fmax(ratio, 0.001),
             sign);
  else
    put_digits(&formatted, ratio, sign);
  return formatted;
}

struct format_text format_ratio(double ratio) {
  return ratio_with(ratio, "");
}

struct format_text format_times(double ratio) {
  return ratio_with(ratio, "x");
}

struct format_text format_share(double share) {
  struct format_text formatted = {"-"};
  double percent = share * 100;
  if (isnan(share))
    return formatted;
  if (share <= 0 || share >= 1)
    snprintf(formatted.text, sizeof formatted.text, "%.0f %%", percent);
  else if (percent < 0.01)
    snprintf(formatted.text, sizeof formatted.text, "<0.01 %%");
  else if (percent > 99.99)
    snprintf(formatted.text, sizeof formatted.text, ">99.99 %%");
  else
    snprintf(formatted.text, sizeof formatted.text, "%.*f %%", percent < 9.995 || percent >= 99.95 ? 2 : 1,
             percent);
  return formatted;
}

/* The same figure without the digits behind the point that are 0. */
static struct format_text without_zeros(struct format_text formatted) {
  char *unit = strchr(formatted.text, ' ');
  char *end = unit;
  if (!unit || !strchr(formatted.text, '.'))
    return formatted;
  while (end[-1] == '0')
    end--;
  if (end[-1] == '.')
    end--;
  memmove(end, unit, strlen(unit) + 1);
  return formatted;
}

struct format_text format_tick(double us) {
  return without_zeros(format_time(us));
}

struct format_text format_rate_tick(double per_second) {
  return without_zeros(format_rate(per_second));
}

struct format_text format_count(uint64_t count) {
  struct format_text formatted;
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
  char *to = formatted.text;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0)
      *to++ = ',';
    *to++ = digits[i];
  }
  *to = '\0';
  return formatted;
}

size_t format_print_clean(FILE *out, const char *text) {
  size_t length;
  char *clean = tool_utf8_repair(text, strlen(text), true, &length);
  const char *printed = clean ? clean : "(out of memory)";
  size_t columns = tool_utf8_columns(printed);
  fputs(printed, out);
  free(clean);
  return columns;
}
