#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mxway/mxway.h"
#include "tool.h"
#include "tool_command.h"
#include "tool_control.h"

static const char usage[] =
    "Usage: mxway show [OPTION...] DOMAIN\n"
    "Say what the daemon remembers of DOMAIN. Asks no DNS server.\n"
    "\n"
    "  --socket PATH  the daemon's control socket (else $MXWAY_CONTROL, else\n"
    "                 " TOOL_CONTROL_DEFAULT_SOCKET
    ")\n"
    "  --json         one JSON object\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0 it remembers something, 1 nothing, 64 wrong usage, 65 not a domain, 69 no\n"
    "daemon, 77 not permitted.\n";

/* How the protocol's numbers are called, and in words. */
static const char *const facts[][2] = {
    [MXWAY__V1__FACT__FACT_NONE] = {"none", "nothing is remembered"},
    [MXWAY__V1__FACT__FACT_MX] = {"mx", "has MX records"},
    [MXWAY__V1__FACT__FACT_NULL_MX] = {"null_mx", "accepts no mail (null MX)"},
    [MXWAY__V1__FACT__FACT_NODATA] = {"nodata", "has no MX record: it is its own exchange"},
    [MXWAY__V1__FACT__FACT_NXDOMAIN] = {"nxdomain", "does not exist"},
    [MXWAY__V1__FACT__FACT_ALL_INVALID] = {"all_invalid", "has MX records of which none names a host"},
    [MXWAY__V1__FACT__FACT_FAILED] = {"failed", "could not be looked up"},
};

static const char *const states[][2] = {
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_UNKNOWN] = {"unknown", "not asked for"},
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_OK] = {"ok", ""},
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_NODATA] = {"nodata", "none"},
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_NXDOMAIN] = {"nxdomain", "no such name"},
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_TEMPFAIL] = {"tempfail", "could not be had"},
    [MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_LOOP] = {"loop", "its aliases loop"},
};

/* The warnings of the protocol, as `mxway lookup --json` calls them. */
static const char *const warnings[] = {
    "unspecified", "null_mx_nonzero_preference", "null_mx_mixed", "mx_is_address",
    "mx_is_cname", "duplicate_exchange",         "unusable_name", "too_many_mx",
};

enum {
  FACT_COUNT = sizeof facts / sizeof *facts,
  STATE_COUNT = sizeof states / sizeof *states,
  WARNING_COUNT = sizeof warnings / sizeof *warnings,
};

static const char *fact_text(unsigned fact, bool in_words) {
  return fact < FACT_COUNT ? facts[fact][in_words] : "unknown";
}

static const char *state_text(unsigned state, bool in_words) {
  return state < STATE_COUNT ? states[state][in_words] : "unknown";
}

static const char *warning_text(unsigned warning) {
  return warning < WARNING_COUNT ? warnings[warning] : "unknown";
}

static const char *address_text(const ProtobufCBinaryData *address, char text[INET6_ADDRSTRLEN]) {
  text[0] = '\0';
  if (address->len == 4 || address->len == 16)
    inet_ntop(address->len == 4 ? AF_INET : AF_INET6, address->data, text, INET6_ADDRSTRLEN);
  return text;
}

/* Seconds, rounded up while they last; expired since, rounded down. */
static int64_t seconds(int64_t ms) { return ms > 0 ? ms / 1000 + (ms % 1000 > 0) : ms / 1000; }

/* ---- for people ---- */

static void print_left(int64_t left_ms) {
  if (left_ms == INT64_MAX)
    printf("for ever");
  else if (left_ms > 0)
    printf("for %" PRId64 " s", seconds(left_ms));
  else
    printf("expired %" PRId64 " s ago", -seconds(left_ms));
}

static void print_family(const char *type, const Mxway__V1__ShownFamily *family) {
  char text[INET6_ADDRSTRLEN];
  if (!family)
    return;
  printf("      %-4s ", type);
  for (size_t i = 0; i < family->n_addresses; i++)
    printf("%s ", address_text(&family->addresses[i], text));
  const char *words = state_text(family->state, true);
  if (family->state == MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_UNKNOWN) {
    printf("%s\n", words);
    return;
  }
  printf("%s%s", words, *words ? ", " : "");
  print_left(family->left_ms);
  if (family->failures > 0)
    printf(", %" PRIu32 " failures in a row", family->failures);
  putchar('\n');
}

static void print_exchanges(const Mxway__V1__ShowReply *show) {
  for (size_t i = 0; i < show->n_exchanges; i++) {
    const Mxway__V1__ShownExchange *exchange = show->exchanges[i];
    printf("  %5" PRIu32 " %s%s%s\n", exchange->preference, exchange->host,
           exchange->expanded[0] ? ", an alias of " : "", exchange->expanded);
    print_family("AAAA", exchange->v6);
    print_family("A", exchange->v4);
  }
  if (show->n_exchanges > 0)
    printf("  %" PRIu64 " other domain%s the same exchanges", show->sharing_count,
           show->sharing_count == 1 ? " has" : "s have");
  for (size_t i = 0; i < show->n_sharing_names; i++)
    printf("%s%s", i ? ", " : ": ", show->sharing_names[i]);
  if (show->n_exchanges > 0)
    printf("%s\n", show->n_sharing_names < show->sharing_count ? ", ..." : "");
}

static void print_text(const Mxway__V1__ControlReply *reply) {
  const Mxway__V1__ShowReply *show = reply->show;
  printf("%s  %s", show->name, fact_text(show->fact, true));
  if (show->fact == MXWAY__V1__FACT__FACT_FAILED)
    printf(": %s", mxway_verdict_text((enum mxway_verdict)show->cause));
  if (show->failures > 1)
    printf(", %" PRIu32 " times in a row", show->failures);
  if (show->fact != MXWAY__V1__FACT__FACT_NONE) {
    printf("; learned %" PRIu64 " s ago, ", show->age_ms / 1000);
    print_left(show->left_ms);
    printf("%s%s", show->authenticated ? ", authenticated by DNSSEC" : "",
           show->hits > 0 ? ", used lately" : "");
  }
  putchar('\n');
  if (show->canonical[0] && strcmp(show->canonical, show->name) != 0)
    printf("  an alias of %s\n", show->canonical);
  for (size_t i = 0; i < show->n_warnings; i++)
    printf("  %s\n", warning_text(show->warnings[i]));
  print_exchanges(show);
  if (show->lookup)
    printf("  being looked up for %" PRIu64 " ms (%s); %" PRIu64 " questions wait\n", show->lookup->age_ms,
           show->lookup->has_facts ? "the addresses" : "the MX records", show->lookup->waiting_count);
}

/* ---- for programs ---- */

static json_t *left_value(int64_t left_ms) {
  return left_ms == INT64_MAX ? json_null() : json_integer(seconds(left_ms));
}

static json_t *family_value(const Mxway__V1__ShownFamily *family) {
  char text[INET6_ADDRSTRLEN];
  if (!family)
    return json_null();
  json_t *addresses = json_array();
  for (size_t i = 0; i < family->n_addresses; i++)
    json_array_append_new(addresses, json_string(address_text(&family->addresses[i], text)));
  return json_pack("{s:s, s:o, s:I, s:b, s:o}", "state", state_text(family->state, false), "left",
                   left_value(family->left_ms), "failures", (json_int_t)family->failures, "authenticated",
                   family->authenticated, "addresses", addresses);
}

static json_t *exchanges_value(const Mxway__V1__ShowReply *show) {
  json_t *array = json_array();
  for (size_t i = 0; i < show->n_exchanges; i++) {
    const Mxway__V1__ShownExchange *exchange = show->exchanges[i];
    json_array_append_new(array, json_pack("{s:I, s:s, s:s, s:o, s:o}", "preference",
                                           (json_int_t)exchange->preference, "host", exchange->host,
                                           "expanded", exchange->expanded, "v6", family_value(exchange->v6),
                                           "v4", family_value(exchange->v4)));
  }
  return array;
}

static json_t *lookup_value(const Mxway__V1__ShownLookup *lookup) {
  if (!lookup)
    return json_null();
  return json_pack("{s:I, s:I, s:b, s:b}", "age_ms", (json_int_t)lookup->age_ms, "waiting",
                   (json_int_t)lookup->waiting_count, "refresh", lookup->refresh, "has_facts",
                   lookup->has_facts);
}

static json_t *make_json(const Mxway__V1__ControlReply *reply) {
  const Mxway__V1__ShowReply *show = reply->show;
  json_t *names = json_array(), *odd = json_array();
  bool has_failed = show->fact == MXWAY__V1__FACT__FACT_FAILED;
  for (size_t i = 0; i < show->n_sharing_names; i++)
    json_array_append_new(names, json_string(show->sharing_names[i]));
  for (size_t i = 0; i < show->n_warnings; i++)
    json_array_append_new(odd, json_string(warning_text(show->warnings[i])));
  return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:o, s:o, s:I, s:o, s:o}", "domain",
                   show->name, "canonical", show->canonical, "fact", fact_text(show->fact, false), "cause",
                   has_failed ? mxway_verdict_text((enum mxway_verdict)show->cause) : "", "failures",
                   (json_int_t)show->failures, "age", (json_int_t)(show->age_ms / 1000), "left",
                   (json_int_t)seconds(show->left_ms), "authenticated", show->authenticated, "hits",
                   (json_int_t)show->hits, "warnings", odd, "exchanges", exchanges_value(show),
                   "sharing_count", (json_int_t)show->sharing_count, "sharing", names, "lookup",
                   lookup_value(show->lookup));
}

static int status_of(const Mxway__V1__ControlReply *reply) {
  return reply->show->fact != MXWAY__V1__FACT__FACT_NONE ? TOOL_OK : TOOL_PERMANENT;
}

int tool_show(int argc, char **argv) {
  static const struct tool_printer printer = {print_text, make_json, status_of};
  struct tool_arguments options = {.command = "show", .usage = usage, .has_json = true};
  Mxway__V1__ShowRequest show = MXWAY__V1__SHOW_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  int status = tool_arguments_parse(&options, argc, argv);
  if (status >= 0)
    return status;
  if (argc - optind != 1)
    return tool_arguments_fail(&options, "give one domain", NULL);
  show.domain = (ProtobufCBinaryData){.len = strlen(argv[optind]), .data = (uint8_t *)argv[optind]};
  request.show = &show;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_SHOW;
  return tool_command_run(&options, &request, &printer);
}
