#include "tool_story.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"
#include "tool_wrap.h"

enum {
  TEXT_COLUMNS_MIN = 30,  /* beside the indent, however narrow the terminal is */
  FINE_UNTIL_US = 100000, /* a shorter story has its microseconds */
};

const char *tool_story_advice(const struct mxway_reply *reply) {
  switch (reply->verdict) {
  case MXWAY_ROUTE:
    return "";
  case MXWAY_NULL_MX:
    return "The owner of the domain says so with a null MX record (RFC 7505).";
  case MXWAY_NO_SUCH_DOMAIN:
    return reply->source == MXWAY_SOURCE_POLICY
               ? "The name is of a special kind that is never looked up in the DNS."
               : "There is a slip in the address, or the domain was given up.";
  case MXWAY_NO_MAIL_HOST:
    return "Nothing at this name takes mail (RFC 5321 section 5.1).";
  case MXWAY_MX_HOSTS_NO_ADDRESS:
    return "The owner of the domain has to correct its MX records, or the addresses of the hosts they name.";
  case MXWAY_MX_HOSTS_TEMPFAIL:
    return "The domain's own DNS answers; that of its exchanges fails.";
  case MXWAY_MX_ALL_INVALID:
    return "The owner of the domain has to correct its MX records.";
  case MXWAY_NO_ROUTABLE_ADDRESS:
    return mxway_reply_class(reply) == MXWAY_CLASS_TRANSIENT
               ? "It is the question that leaves nothing over: asked otherwise there might be a route."
               : "The addresses there are lead to no machine that takes mail from here.";
  case MXWAY_LOOP_SELF_BEST:
    return "The sender is itself where the mail goes (RFC 5321 section 5.1): it delivers this domain "
           "locally, "
           "or is wrong about its own names and addresses.";
  case MXWAY_PRIMARY_UNRESOLVED:
    return "A backup sends only to better exchanges than itself (RFC 5321 section 5.1).";
  case MXWAY_INVALID_NAME:
    return "The address has to be corrected.";
  case MXWAY_DNS_SERVFAIL:
  case MXWAY_DNS_REFUSED:
  case MXWAY_DNS_TIMEOUT:
  case MXWAY_DNS_NETWORK:
  case MXWAY_DNS_MALFORMED:
    return "It says nothing about whether the domain takes mail: the DNS on the way to it fails.";
  case MXWAY_CNAME_LOOP:
    return "The owner of the domain has to correct its aliases.";
  case MXWAY_OVERLOAD:
  case MXWAY_SHUTDOWN:
  case MXWAY_DEADLINE:
    return "It says nothing about the domain.";
  case MXWAY_NOT_CACHED:
    return "It says nothing about the domain: without --cache-only the DNS would be asked.";
  case MXWAY_BAD_REQUEST:
    return "It says nothing about the domain: the question has to be changed.";
  case MXWAY_REJECTED:
    return "The configuration of the daemon says so, not the domain.";
  }
  return "";
}

/* Puts one text as words, or unbroken, made printable. */
static void put_text(struct tool_wrap *wrap, const char *text, bool is_phrase) {
  size_t length;
  char *printable = tool_utf8_repair(text, strlen(text), true, &length);
  if (is_phrase)
    tool_wrap_phrase(wrap, printable ? printable : "(out of memory)");
  else
    tool_wrap_words(wrap, printable ? printable : "(out of memory)");
  free(printable);
}

/* Begins wrapped text behind what fills `indent` columns of the line. */
static void begin(struct tool_wrap *wrap, FILE *out, size_t columns, size_t indent) {
  size_t least = indent + TEXT_COLUMNS_MIN;
  tool_wrap_init(wrap, out, columns > least ? columns : least, indent);
}

/* ---- the story ---- */

/* "12.345", or "1234.5" in a long story: how it is printed, and how wide the widest is. */
struct times {
  bool is_fine;
  int width;
};

static int print_time(FILE *out, const struct times *times, uint32_t at_us) {
  char text[24];
  if (times->is_fine)
    snprintf(text, sizeof text, "%" PRIu32 ".%03" PRIu32, at_us / 1000, at_us % 1000);
  else
    snprintf(text, sizeof text, "%" PRIu32 ".%" PRIu32, at_us / 1000, at_us % 1000 / 100);
  return out ? fprintf(out, "%*s", times->width, text) : (int)strlen(text);
}

static struct times measure(const struct mxway_reply *reply) {
  uint32_t latest_us = 0;
  for (size_t i = 0; i < reply->story_count; i++)
    if (reply->story[i].at_us > latest_us)
      latest_us = reply->story[i].at_us;
  struct times times = {.is_fine = latest_us < FINE_UNTIL_US};
  times.width = print_time(NULL, &times, latest_us);
  return times;
}

static void print_rule(struct tool_wrap *wrap, const char *rule) {
  char *text;
  if (*rule && asprintf(&text, "[%s]", rule) >= 0) {
    put_text(wrap, text, true);
    free(text);
  }
}

static void print_lines(FILE *out, const struct mxway_reply *reply, size_t columns) {
  struct times times = measure(reply);
  struct tool_wrap wrap;
  for (size_t i = 0; i < reply->story_count; i++) {
    fputs("    ", out);
    print_time(out, &times, reply->story[i].at_us);
    fputs(" ms  ", out);
    begin(&wrap, out, columns, 4 + (size_t)times.width + 5);
    put_text(&wrap, reply->story[i].text, false);
    print_rule(&wrap, reply->story[i].rule);
    fputc('\n', out);
  }
}

/* ---- the meaning ---- */

static bool has_addresses(const struct mxway_reply *reply) {
  for (size_t i = 0; i < reply->exchange_count; i++)
    if (reply->exchanges[i].address_count > 0)
      return true;
  return false;
}

static const char *action(const struct mxway_reply *reply) {
  switch (mxway_reply_class(reply)) {
  case MXWAY_CLASS_OK:
    return has_addresses(reply)
               ? "A sender tries the exchanges from the top, and the addresses of each from the left, until "
                 "one "
                 "takes the mail."
               : "A sender looks up the addresses of the exchanges and tries these from the top, until one "
                 "takes the mail.";
  case MXWAY_CLASS_PERMANENT:
    return "A sender returns the mail at once.";
  case MXWAY_CLASS_TRANSIENT:
    return "A sender keeps the mail and tries again later.";
  }
  return "";
}

static void print_meaning(FILE *out, const struct mxway_reply *reply, size_t columns) {
  static const char head[] = "  what it means: ";
  /* About the question: no mail is returned for that. */
  bool is_about_domain = reply->verdict != MXWAY_BAD_REQUEST && reply->verdict != MXWAY_NOT_CACHED;
  struct tool_wrap wrap;
  char *code;
  fputs(head, out);
  begin(&wrap, out, columns, sizeof head - 1);
  if (is_about_domain)
    tool_wrap_words(&wrap, action(reply));
  tool_wrap_words(&wrap, tool_story_advice(reply));
  if (is_about_domain && reply->verdict != MXWAY_ROUTE && reply->smtp_code &&
      asprintf(&code, "%u %s.", reply->smtp_code, reply->enhanced_status) >= 0) {
    tool_wrap_words(&wrap, "A server that is asked to take such mail says");
    put_text(&wrap, code, true);
    free(code);
  }
  fputc('\n', out);
}

/* ---- both ---- */

static void print_note(FILE *out, const char *head, const char *text, size_t columns) {
  struct tool_wrap wrap;
  fputs(head, out);
  begin(&wrap, out, columns, strlen(head));
  put_text(&wrap, text, false);
  fputc('\n', out);
}

void tool_story_print(FILE *out, const struct mxway_reply *reply, size_t columns) {
  if (*reply->site_name)
    print_note(out, "  site: ", reply->site_name, columns);
  if (reply->authenticated)
    print_note(out, "  authenticated: ",
               "a trusted server had validated every DNS reply behind this (RFC 6840 section 5.7)", columns);
  if (reply->story_count > 0)
    fputs("  how it came about:\n", out);
  else
    fputs("  the daemon does not tell how it came about\n", out);
  print_lines(out, reply, columns);
  print_meaning(out, reply, columns);
}
