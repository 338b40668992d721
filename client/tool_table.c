#include "tool_table.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tool_utf8.h"

enum {
  HOST_COLUMNS_MAX = 60, /* a longer host pushes its own line out, not all */
  LINE_COLUMNS = 100,    /* then addresses go on below */
};

const char *tool_table_sentence(enum mxway_verdict verdict) {
  switch (verdict) {
  case MXWAY_ROUTE:
    return "mail goes to these exchanges";
  case MXWAY_NULL_MX:
    return "this domain accepts no mail";
  case MXWAY_NO_SUCH_DOMAIN:
    return "this domain does not exist";
  case MXWAY_NO_MAIL_HOST:
    return "this domain has neither MX records nor an address";
  case MXWAY_MX_HOSTS_NO_ADDRESS:
    return "no exchange of this domain has an address";
  case MXWAY_MX_HOSTS_TEMPFAIL:
    return "no exchange of this domain can be resolved now";
  case MXWAY_MX_ALL_INVALID:
    return "no MX record of this domain names a possible host";
  case MXWAY_NO_ROUTABLE_ADDRESS:
    return "no exchange has an address that mail may go to";
  case MXWAY_LOOP_SELF_BEST:
    return "the sender itself is the best exchange";
  case MXWAY_PRIMARY_UNRESOLVED:
    return "the exchanges better than the sender itself cannot be resolved now";
  case MXWAY_INVALID_NAME:
    return "this is not a domain name";
  case MXWAY_DNS_SERVFAIL:
    return "the DNS servers of this domain fail now (SERVFAIL)";
  case MXWAY_DNS_REFUSED:
    return "the DNS server refuses to answer (REFUSED)";
  case MXWAY_DNS_TIMEOUT:
    return "the DNS did not answer in time";
  case MXWAY_DNS_NETWORK:
    return "the DNS server cannot be reached";
  case MXWAY_DNS_MALFORMED:
    return "the answer of the DNS was broken";
  case MXWAY_CNAME_LOOP:
    return "the aliases of this domain go round in a circle, or too far";
  case MXWAY_OVERLOAD:
    return "the daemon has too much to do now";
  case MXWAY_SHUTDOWN:
    return "the daemon is ending";
  case MXWAY_DEADLINE:
    return "there was no answer within the time asked for";
  case MXWAY_NOT_CACHED:
    return "the daemon's memory does not hold this domain";
  case MXWAY_BAD_REQUEST:
    return "the daemon does not accept this question";
  case MXWAY_REJECTED:
    return "the daemon is configured to refuse mail for this domain";
  }
  return "the daemon says what this tool is too old to know";
}

static const char *source_words(enum mxway_source source) {
  switch (source) {
  case MXWAY_SOURCE_MEMORY:
    return "from memory";
  case MXWAY_SOURCE_SHARED:
    return "from the shared store";
  case MXWAY_SOURCE_DNS:
    return "from DNS";
  case MXWAY_SOURCE_LITERAL:
    return "an address literal";
  case MXWAY_SOURCE_OVERRIDE:
    return "as configured";
  case MXWAY_SOURCE_POLICY:
    return "without asking the DNS";
  }
  return "from elsewhere";
}

static const char *status_words(enum mxway_status status) {
  switch (status) {
  case MXWAY_STATUS_NOT_RESOLVED:
    return "not looked up";
  case MXWAY_STATUS_OK:
    return "no address given";
  case MXWAY_STATUS_NXDOMAIN:
    return "does not exist";
  case MXWAY_STATUS_NO_ADDRESS:
    return "has no address";
  case MXWAY_STATUS_TEMPFAIL:
    return "cannot be resolved now";
  case MXWAY_STATUS_CNAME_REJECTED:
    return "not used: an alias";
  case MXWAY_STATUS_CNAME_LOOP:
    return "not used: its aliases go round in a circle, or too far";
  case MXWAY_STATUS_FILTERED:
    return "not used: its addresses are filtered out";
  case MXWAY_STATUS_INVALID:
    return "not used: no possible host";
  }
  return "in a state this tool is too old to know";
}

static const char *warning_words(const char *warning) {
  static const char *const words[][2] = {
      {"null_mx_nonzero_preference", "the null MX record has a preference other than 0"},
      {"null_mx_mixed", "a null MX record stands beside real ones and was ignored"},
      {"mx_is_address", "an MX record names an address, not a host"},
      {"mx_is_cname", "an MX record names an alias"},
      {"duplicate_exchange", "an exchange is named twice"},
      {"unusable_name", "an MX record names no possible host and was ignored"},
      {"too_many_mx", "there are over 100 MX records; the rest was not read"},
  };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i][0], warning) == 0)
      return words[i][1];
  return "something this tool is too old to know";
}

static void print_text(FILE *out, const char *text, size_t length) {
  size_t printable_length;
  char *printable = tool_utf8_repair(text, length, true, &printable_length);
  fputs(printable ? printable : "(out of memory)", out);
  free(printable);
}

/* "host", "host:port", each perhaps with " -> expanded"; made printable, to be freed; NULL without memory. */
static char *host_text(const struct mxway_exchange *exchange) {
  char *text = NULL;
  char *printable = NULL;
  size_t length;
  char port[8] = "";
  if (exchange->port)
    snprintf(port, sizeof port, ":%u", exchange->port);
  /* An IPv6 address has colons of its own. */
  bool is_bracketed = *port && strchr(exchange->host, ':');
  int made = asprintf(&text, "%s%s%s%s%s%s", is_bracketed ? "[" : "", exchange->host, is_bracketed ? "]" : "",
                      port, *exchange->expanded ? " -> " : "", exchange->expanded);
  if (made >= 0) {
    printable = tool_utf8_repair(text, (size_t)made, true, &length);
    free(text);
  }
  return printable;
}

static size_t host_columns(const struct mxway_reply *reply) {
  size_t widest = 0;
  for (size_t i = 0; i < reply->exchange_count; i++) {
    char *host = host_text(&reply->exchanges[i]);
    size_t columns = host ? tool_utf8_columns(host) : 0;
    free(host);
    if (columns > widest)
      widest = columns;
  }
  return widest < HOST_COLUMNS_MAX ? widest : HOST_COLUMNS_MAX;
}

static int preference_columns(const struct mxway_reply *reply) {
  int widest = 2;
  for (size_t i = 0; i < reply->exchange_count; i++) {
    int columns = snprintf(NULL, 0, "%u", reply->exchanges[i].preference);
    if (columns > widest)
      widest = columns;
  }
  return widest;
}

/* Starts at column `first` and returns there below when a line is full. */
static void print_addresses(FILE *out, const struct mxway_exchange *exchange, size_t first) {
  size_t at = first;
  for (size_t i = 0; i < exchange->address_count; i++) {
    const struct mxway_address *address = &exchange->addresses[i];
    char text[INET6_ADDRSTRLEN];
    inet_ntop(address->length == 4 ? AF_INET : AF_INET6, address->octets, text, sizeof text);
    size_t columns = strlen(text);
    if (i > 0 && at + 1 + columns > LINE_COLUMNS) {
      fprintf(out, "\n%*s", (int)first, "");
      at = first;
    } else if (i > 0) {
      fputc(' ', out);
      at++;
    }
    fputs(text, out);
    at += columns;
  }
}

static void print_exchanges(FILE *out, const struct mxway_reply *reply) {
  int preference_width = preference_columns(reply);
  size_t host_width = host_columns(reply);
  for (size_t i = 0; i < reply->exchange_count; i++) {
    const struct mxway_exchange *exchange = &reply->exchanges[i];
    char *host = host_text(exchange);
    size_t columns = host ? tool_utf8_columns(host) : 0;
    size_t width = columns > host_width ? columns : host_width;
    fprintf(out, "  %*u  %s%*s  ", preference_width, exchange->preference, host ? host : "",
            (int)(width - columns), "");
    free(host);
    print_addresses(out, exchange, 2 + (size_t)preference_width + 2 + width + 2);
    if (exchange->address_count == 0)
      fputs(status_words(exchange->status), out);
    else if (exchange->status != MXWAY_STATUS_OK)
      fprintf(out, "  (%s)", status_words(exchange->status));
    fputc('\n', out);
  }
}

/* Whether the daemon calls the domain what the asker called it, but for case and a final dot. */
static bool is_same_name(const char *domain, size_t length, const char *canonical) {
  if (length > 0 && domain[length - 1] == '.')
    length--;
  return strlen(canonical) == length && strncasecmp(domain, canonical, length) == 0;
}

/* A verdict about this one question (a deadline, a bad name) has ttl 0 and source POLICY: nothing to say. */
static bool has_lifetime(const struct mxway_reply *reply) {
  return reply->ttl_s > 0 || reply->source != MXWAY_SOURCE_POLICY;
}

static void print_lifetime(FILE *out, const struct mxway_reply *reply) {
  fprintf(out, "ttl %u  %s", reply->ttl_s, source_words(reply->source));
  if (reply->age_s > 0)
    fprintf(out, ", %u s old", reply->age_s);
  if (reply->stale)
    fputs(", stale", out);
}

static void print_notes(FILE *out, const char *domain, size_t domain_length,
                        const struct mxway_reply *reply) {
  if (*reply->canonical && reply->source != MXWAY_SOURCE_LITERAL &&
      !is_same_name(domain, domain_length, reply->canonical)) {
    fputs("  canonical name: ", out);
    print_text(out, reply->canonical, strlen(reply->canonical));
    fputc('\n', out);
  }
  if (reply->implicit)
    fputs("  no MX: mail goes to the domain itself\n", out);
  if (reply->truncated)
    fputs("  there are more exchanges than are shown\n", out);
  for (size_t i = 0; i < reply->warning_count; i++)
    fprintf(out, "  warning: %s (%s)\n", warning_words(reply->warnings[i]), reply->warnings[i]);
}

void tool_table_print(FILE *out, const char *domain, size_t domain_length, const struct mxway_reply *reply,
                      bool is_bold) {
  fputs(is_bold ? "\x1b[1m" : "", out);
  print_text(out, domain, domain_length);
  fprintf(out, "%s  %s  ", is_bold ? "\x1b[0m" : "", mxway_verdict_text(reply->verdict));
  if (reply->verdict == MXWAY_ROUTE) {
    print_lifetime(out, reply);
  } else {
    if (reply->smtp_code) {
      fprintf(out, "%u ", reply->smtp_code);
      print_text(out, reply->enhanced_status, strlen(reply->enhanced_status));
      fputs("  ", out);
    }
    fputs(tool_table_sentence(reply->verdict), out);
    if (*reply->detail) {
      fputs(": ", out);
      print_text(out, reply->detail, strlen(reply->detail));
    }
    if (has_lifetime(reply)) {
      fputs("  (", out);
      print_lifetime(out, reply);
      fputc(')', out);
    }
  }
  fputc('\n', out);
  print_exchanges(out, reply);
  print_notes(out, domain, domain_length, reply);
}
