#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "tool_command.h"
#include "tool_control.h"
#include "tool_utf8.h"

static const char usage[] =
    "Usage: mxway stats [OPTION...]\n"
    "Say what the daemon has counted and how much it remembers.\n"
    "\n"
    "  --socket PATH  the daemon's control socket (else $MXWAY_CONTROL, else\n"
    "                 " TOOL_CONTROL_DEFAULT_SOCKET
    ")\n"
    "  --json         one JSON object\n"
    "  -h, --help     this text\n";

static void print_time(uint64_t seconds) {
  uint64_t days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
  if (days > 0)
    printf("%" PRIu64 " d %" PRIu64 " h", days, hours);
  else if (hours > 0)
    printf("%" PRIu64 " h %" PRIu64 " min", hours, minutes);
  else
    printf("%" PRIu64 " min %" PRIu64 " s", minutes, seconds % 60);
}

static void print_store(const Mxway__V1__StoreState *store) {
  if (!store || !store->is_configured) {
    puts("shared store: off");
    return;
  }
  size_t length; /* what a Redis server says is not for terminals as it is */
  char *text = tool_utf8_repair(store->text, strlen(store->text), true, &length);
  printf("shared store: %s; breaker %s; %" PRIu64 " reads under way, %" PRIu64 " writes waiting (%.1f KiB)\n",
         text ? text : "?", store->is_up ? "closed" : "open", store->read_count, store->write_count,
         (double)store->write_bytes / 1024);
  free(text);
  printf("purges of the cluster: followed up to %s; %" PRIu64 " notices wait to be told\n",
         store->followed[0] ? store->followed : "none yet", store->untold_count);
  if (store->warm_start[0])
    printf("warm start: %s\n", store->warm_start);
}

static void print_text(const Mxway__V1__ControlReply *reply) {
  const Mxway__V1__StatsReply *stats = reply->stats;
  const double mebibyte = 1 << 20;
  printf("mxwayd %s, up ", stats->version);
  print_time(stats->uptime_ms / 1000);
  printf("\nmemory: %" PRIu64 " domains, %" PRIu64 " lists of exchanges, %" PRIu64
         " exchanges; %.1f of %.1f MiB\n",
         stats->domain_count, stats->set_count, stats->host_count, (double)stats->bytes / mebibyte,
         (double)stats->bound_bytes / mebibyte);
  print_store(stats->store);
  putchar('\n');
  for (size_t i = 0; i < stats->n_counters; i++)
    printf("%-24s %12" PRIu64 "  %s\n", stats->counters[i]->name, stats->counters[i]->value,
           stats->counters[i]->text);
}

static json_t *pack_store(const Mxway__V1__StoreState *store) {
  if (!store || !store->is_configured)
    return json_pack("{s:s}", "state", "off");
  return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I}", "state",
                   store->is_up ? "up" : "down", "breaker", store->is_up ? "closed" : "open", "text",
                   store->text, "servers", (json_int_t)store->server_count, "servers_up",
                   (json_int_t)store->up_count, "latency_us", (json_int_t)store->latency_us, "reads",
                   (json_int_t)store->read_count, "writes_queued", (json_int_t)store->write_count,
                   "bytes_queued", (json_int_t)store->write_bytes, "warm_start", store->warm_start,
                   "purges_followed", store->followed, "purges_untold", (json_int_t)store->untold_count);
}

static json_t *make_json(const Mxway__V1__ControlReply *reply) {
  const Mxway__V1__StatsReply *stats = reply->stats;
  json_t *counters = json_object();
  for (size_t i = 0; i < stats->n_counters; i++)
    json_object_set_new(counters, stats->counters[i]->name,
                        json_integer((json_int_t)stats->counters[i]->value));
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "version", stats->version, "uptime",
                   (json_int_t)(stats->uptime_ms / 1000), "domains", (json_int_t)stats->domain_count, "sets",
                   (json_int_t)stats->set_count, "hosts", (json_int_t)stats->host_count, "bytes",
                   (json_int_t)stats->bytes, "cache_size", (json_int_t)stats->bound_bytes, "store",
                   pack_store(stats->store), "counters", counters);
}

int tool_stats(int argc, char **argv) {
  static const struct tool_printer printer = {print_text, make_json, NULL};
  struct tool_arguments options = {.command = "stats", .usage = usage, .has_json = true};
  Mxway__V1__StatsRequest stats = MXWAY__V1__STATS_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  int status = tool_arguments_parse(&options, argc, argv);
  if (status >= 0)
    return status;
  if (optind < argc)
    return tool_arguments_fail(&options, "unexpected argument", argv[optind]);
  request.stats = &stats;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_STATS;
  return tool_command_run(&options, &request, &printer);
}
