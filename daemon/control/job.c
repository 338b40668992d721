#include "control/job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/dump.h"
#include "cache/load.h"
#include "control/show.h"
#include "rules/name.h"

enum { PIECE_BYTES = 128 * 1024 };

/* Ends a job with a sentence. */
static bool refuse(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct job *job, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(job->error, JOB_ERROR_SIZE, format, arguments);
  va_end(arguments);
  return true;
}

static bool refuse_for_memory(struct job *job) { return refuse(job, "the daemon has no memory"); }

static struct image_time read_clocks(void) {
  return (struct image_time){.now_ms = clock_now_ms(), .wall_ms = clock_wall_ms()};
}

/* Reads a name of a request; false where it is none, which the job's error says then. */
static bool read_name(struct job *job, ProtobufCBinaryData text, struct name *name) {
  static const struct name_policy policy = {.accept_bare_ip = true, .allow_single_label = true};
  enum name_error error = name_parse(text.data, text.len, &policy, name);
  if (error == NAME_OK)
    return true;
  refuse(job, "\"%.*s\": %s", (int)(text.len < 300 ? text.len : 300), (const char *)text.data,
         name_error_text(error));
  return false;
}

/* ---- stats: done in one step ---- */

static bool step_stats(struct job *job) {
  (void)job;
  return true;
}

static void fill_store(const struct job_served *served, struct job_result *result) {
  const struct store *store = served->store;
  struct bulletin_view *bulletin_view = &result->bulletin_view;
  struct store_view *view = &result->store_view;
  Mxway__V1__StoreState *state = &result->store;
  mxway__v1__store_state__init(state);
  if (!store)
    return;
  store_look(store, view);
  bulletin_look(served->bulletin, bulletin_view);
  state->followed = bulletin_view->followed;
  state->untold_count = bulletin_view->untold_count;
  state->is_configured = true;
  state->is_up = view->is_up;
  state->text = view->fleet.text;
  state->server_count = view->fleet.server_count;
  state->up_count = view->fleet.up_count;
  state->latency_us = view->fleet.latency_us;
  state->read_count = view->read_count;
  state->write_count = view->write_count;
  state->write_bytes = view->write_bytes;
  if (served->warm)
    state->warm_start = warm_text(served->warm, result->warm_text);
}

static void fill_stats(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  const struct cache *cache = job->served->cache;
  Mxway__V1__StatsReply *stats = &result->stats;
  mxway__v1__stats_reply__init(stats);
  stats->version = (char *)MXWAY_VERSION;
  stats->uptime_ms = (uint64_t)(clock_now_ms() - job->served->since_ms);
  stats->domain_count = cache_count(cache);
  stats->set_count = cache_set_count(cache);
  stats->host_count = cache_host_count(cache);
  stats->bytes = cache_bytes(cache);
  stats->bound_bytes = job->served->cache_size_bytes;
  for (int i = 0; i < STATS_COUNT; i++) {
    Mxway__V1__Counter *counter = result->counter_list[i] = &result->counters[i];
    mxway__v1__counter__init(counter);
    counter->name = (char *)stats_name((enum stats_counter)i);
    counter->text = (char *)stats_text((enum stats_counter)i);
    counter->value = stats_sum((enum stats_counter)i);
  }
  fill_store(job->served, result);
  stats->store = &result->store;
  stats->n_counters = STATS_COUNT;
  stats->counters = result->counter_list;
  reply->stats = stats;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_STATS;
}

/* ---- show ---- */

static bool step_show(struct job *job) {
  const struct job_served *served = job->served;
  struct name name;
  if (job->show)
    return show_step(job->show, JOB_STEP_COUNT);
  if (!read_name(job, job->request->show->domain, &name))
    return true;
  if (name.kind != NAME_DOMAIN)
    return refuse(job, "an address literal is never in memory: it needs no DNS");
  job->show = show_create(served->cache, served->resolver, &name);
  return job->show ? false : refuse_for_memory(job);
}

static void fill_show(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  (void)result;
  reply->show = show_reply(job->show, clock_now_ms());
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_SHOW;
}

/* ---- purge ---- */

static void begin_purge(struct job *job, enum purge_what what, const struct name *name) {
  const struct job_served *served = job->served;
  purge_start(&job->purge, served->cache, served->resolver, served->store, what, name);
  job->told = bulletin_tell(served->bulletin, what, name);
}

/* All names are looked at before the first is purged: an order is followed as a whole or not at all. */
static bool step_domains(struct job *job) {
  const Mxway__V1__PurgeRequest *request = job->request->purge;
  struct name name;
  for (size_t i = 0; i < JOB_STEP_COUNT && job->at < 2 * request->n_names; i++, job->at++) {
    if (!read_name(job, request->names[job->at % request->n_names], &name))
      return true;
    if (name.kind != NAME_DOMAIN)
      return refuse(job, "\"%s\" is an address, not a domain", name.text);
    if (job->at >= request->n_names)
      begin_purge(job, PURGE_OF_DOMAIN, &name);
  }
  return job->at == 2 * request->n_names;
}

static bool start_purge(struct job *job, enum purge_what what) {
  const Mxway__V1__PurgeRequest *request = job->request->purge;
  bool needs_name = what == PURGE_OF_SUFFIX || what == PURGE_OF_EXCHANGE;
  struct name name;
  job->at = 1;
  if (request->n_names != needs_name)
    return refuse(job, "this purge takes %s", needs_name ? "one name" : "no names");
  if (needs_name) {
    ProtobufCBinaryData text = request->names[0];
    if (what == PURGE_OF_SUFFIX && text.len > 1 && text.data[0] == '.') {
      text.data++; /* ".example" means the same */
      text.len--;
    }
    if (!read_name(job, text, &name))
      return true;
  }
  begin_purge(job, what, needs_name ? &name : NULL);
  return false;
}

static bool step_whole_purge(struct job *job, enum purge_what what) {
  if (job->at == 0)
    return start_purge(job, what);
  purge_step(&job->purge, JOB_STEP_COUNT, clock_now_ms());
  return purge_has_ended(&job->purge);
}

static bool step_memory(struct job *job) {
  switch ((unsigned)job->request->purge->what) {
  case MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS:
    return step_domains(job);
  case MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX:
    return step_whole_purge(job, PURGE_OF_SUFFIX);
  case MXWAY__V1__PURGE_WHAT__PURGE_EXCHANGE:
    return step_whole_purge(job, PURGE_OF_EXCHANGE);
  case MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE:
    return step_whole_purge(job, PURGE_OF_NEGATIVE);
  case MXWAY__V1__PURGE_WHAT__PURGE_FAILURES:
    return step_whole_purge(job, PURGE_OF_FAILURES);
  case MXWAY__V1__PURGE_WHAT__PURGE_ALL:
    return step_whole_purge(job, PURGE_OF_ALL);
  }
  return refuse(job, "the daemon does not know what to purge: is the client newer?");
}

/* Waits until the other nodes have been told, or that has failed. */
static bool step_others(struct job *job) {
  const char *why = "Redis has not answered yet";
  int64_t now_ms = clock_now_ms();
  if (job->stage == JOB_AT_MEMORY)
    job->told_by_ms = now_ms + JOB_TELL_MS;
  job->stage = JOB_AT_OTHERS;
  job->outcome = bulletin_outcome(job->served->bulletin, job->told, &why);
  if (job->outcome == BULLETIN_PENDING && now_ms < job->told_by_ms)
    return false;
  if (job->outcome == BULLETIN_PENDING)
    job->outcome = BULLETIN_LATER;
  snprintf(job->why, sizeof(job->why), "%s", job->outcome == BULLETIN_LATER ? why : "");
  return true;
}

static bool step_purge(struct job *job) {
  if (job->stage == JOB_AT_MEMORY && (!step_memory(job) || job->error[0]))
    return job->error[0];
  return step_others(job);
}

static Mxway__V1__PurgeShared shared_of(enum bulletin_outcome outcome) {
  switch (outcome) {
  case BULLETIN_READ_ONLY:
    return MXWAY__V1__PURGE_SHARED__PURGE_SHARED_READ_ONLY;
  case BULLETIN_TOLD:
    return MXWAY__V1__PURGE_SHARED__PURGE_SHARED_TOLD;
  case BULLETIN_LATER:
  case BULLETIN_PENDING:
    return MXWAY__V1__PURGE_SHARED__PURGE_SHARED_LATER;
  case BULLETIN_OFF:
    break;
  }
  return MXWAY__V1__PURGE_SHARED__PURGE_SHARED_OFF;
}

static void fill_purge(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  Mxway__V1__PurgeReply *purge = &result->purge;
  mxway__v1__purge_reply__init(purge);
  purge->domain_count = job->purge.domain_count;
  purge->host_count = job->purge.host_count;
  purge->shared = shared_of(job->outcome);
  purge->shared_error = job->why;
  reply->purge = purge;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_PURGE;
  log_notice("purged %" PRIu64 " domains and the addresses of %" PRIu64 " hosts", purge->domain_count,
             purge->host_count);
}

/* ---- dump ---- */

static void end_dump(struct job *job) {
  if (job->dump)
    dump_stop(job->dump);
  free(job->dump);
  free(job->piece);
  job->dump = NULL;
  job->piece = NULL;
}

static bool start_dump(struct job *job) {
  job->piece = malloc(PIECE_BYTES);
  job->dump = job->piece ? malloc(sizeof(*job->dump)) : NULL;
  if (!job->dump) {
    end_dump(job);
    return false;
  }
  dump_start(job->dump, job->served->cache);
  return true;
}

static bool step_dump(struct job *job) {
  struct image_time time = read_clocks();
  if (!job->dump && !start_dump(job))
    return refuse_for_memory(job);
  if (job->at == 0)
    job->piece_length = 0;
  job->at = 1;
  job->piece_length += dump_step(job->dump, job->piece + job->piece_length, PIECE_BYTES - job->piece_length,
                                 JOB_STEP_COUNT, &time);
  return dump_has_ended(job->dump) || PIECE_BYTES - job->piece_length < IMAGE_RECORD_MAX;
}

static void fill_dump(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  Mxway__V1__DumpReply *dump = &result->dump;
  mxway__v1__dump_reply__init(dump);
  dump->piece = (ProtobufCBinaryData){.len = job->piece_length, .data = job->piece};
  dump->last = dump_has_ended(job->dump);
  dump->domain_count = job->dump->domain_count;
  dump->host_count = job->dump->host_count;
  reply->dump = dump;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_DUMP;
}

/* ---- load ---- */

static bool step_load(struct job *job) {
  const Mxway__V1__LoadRequest *request = job->request->load;
  const struct job_served *served = job->served;
  struct image_time time = read_clocks();
  char text[LOAD_TEXT_SIZE];
  if (!job->load && !(job->load = load_create(served->cache, served->ttl)))
    return refuse_for_memory(job);
  job->at += load_put(job->load, request->piece.data + job->at, request->piece.len - job->at);
  enum image_status status = load_step(job->load, 1, &time);
  if (status == IMAGE_GOOD || (status == IMAGE_INCOMPLETE && job->at < request->piece.len))
    return false;
  if (status != IMAGE_INCOMPLETE || (request->last && !load_has_ended(job->load)))
    refuse(job, "%s", load_explain(job->load, status, text));
  return true;
}

static void fill_load(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  Mxway__V1__LoadReply *load = &result->load;
  const struct load_counts *counts = load_counts(job->load);
  mxway__v1__load_reply__init(load);
  load->domain_count = counts->domains;
  load->host_count = counts->hosts;
  load->expired_count = counts->expired;
  load->older_count = counts->older;
  load->future_count = counts->future;
  load->unused_count = counts->unused;
  load->stale_count = counts->stale;
  reply->load = load;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_LOAD;
  if (job->request->load->last || job->error[0])
    log_notice("loaded %" PRIu64 " domains and the addresses of %" PRIu64 " hosts from a dump%s%s",
               counts->domains, counts->hosts, job->error[0] ? "; refused " : "", job->error);
}

/* ---- commands ---- */

/* `step` does a part of the job: true when it is done, or refused. `fill` puts its result into the reply. */
static const struct command {
  bool (*step)(struct job *job);
  void (*fill)(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply);
} commands[] = {
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_STATS] = {step_stats, fill_stats},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_SHOW] = {step_show, fill_show},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE] = {step_purge, fill_purge},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_DUMP] = {step_dump, fill_dump},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD] = {step_load, fill_load},
};

static const struct command *command_of(const struct job *job) {
  return &commands[job->request->command_case];
}

/* ---- the room ---- */

void job_init(struct job *job, const struct job_served *served) { *job = (struct job){.served = served}; }

void job_fini(struct job *job) {
  if (job->request)
    job_end(job);
  end_dump(job);
  load_destroy(job->load);
}

bool job_is_under_way(const struct job *job) { return job->request != NULL; }

bool job_waits(const struct job *job) { return job->request && job->stage == JOB_AT_OTHERS; }

void job_start(struct job *job, Mxway__V1__ControlRequest *request) {
  job->request = request;
  job->error[0] = '\0';
  job->at = 0;
  job->purge = (struct purge){0};
  job->stage = JOB_AT_MEMORY;
  job->told = 0;
}

bool job_step(struct job *job) { return command_of(job)->step(job); }

void job_fill(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply) {
  bool is_load = job->request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD;
  bool has_result = !job->error[0] || (is_load && job->load);
  reply->id = job->request->id;
  reply->error = job->error;
  if (has_result)
    command_of(job)->fill(job, result, reply);
}

void job_end(struct job *job) {
  Mxway__V1__ControlRequest *request = job->request;
  bool ends_load = request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD &&
                   (request->load->last || job->error[0]);
  if (ends_load) {
    load_destroy(job->load);
    job->load = NULL;
  }
  if (job->dump && dump_has_ended(job->dump))
    end_dump(job);
  purge_stop(&job->purge);
  show_destroy(job->show);
  job->show = NULL;
  mxway__v1__control_request__free_unpacked(request, NULL);
  job->request = NULL;
}
