#include "control.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control.pb-c.h"
#include "dump.h"
#include "load.h"
#include "log.h"
#include "name.h"
#include "purge.h"
#include "server.h"
#include "show.h"
#include "stats.h"

enum {
  STEP_COUNT = 64, /* things looked at between two looks at the clock */
  PIECE_BYTES = 128 * 1024,
  ERROR_SIZE = 512,
};

/* One connection and its job. */
struct session {
  struct control *control;
  struct connection *connection;
  struct session *next;
  struct connection_ref ref;          /* of the answer that is owed */
  Mxway__V1__ControlRequest *request; /* the job; NULL: none */
  char error[ERROR_SIZE];             /* what is wrong with it, or "" */
  size_t at;                          /* how far it is: names, or octets */
  struct purge purge;                 /* of a job */
  struct show *show;                  /* of a job; else NULL */
  struct dump *dump;                  /* over several jobs; NULL: none has begun */
  struct load *load;                  /* the same */
  size_t piece_length;
  uint8_t *piece; /* with `dump` */
};

struct control {
  struct ev_loop *loop;
  struct control_served served;
  struct server *server;
  _Atomic uint32_t connection_count;
  struct stats unlisted;         /* of the server: these are no clients */
  ev_timer turn;                 /* active while there is a job */
  struct session *first, **last; /* those with a job, the next to run first */
  int64_t created_ms;
  /* Of the reply that is being packed. */
  union {
    Mxway__V1__StatsReply stats;
    Mxway__V1__PurgeReply purge;
    Mxway__V1__DumpReply dump;
    Mxway__V1__LoadReply load;
  } result;
  Mxway__V1__Counter counters[STATS_COUNT];
  Mxway__V1__Counter *counter_list[STATS_COUNT];
};

/* Ends a job with a sentence. */
static bool refuse(struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct session *session, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(session->error, ERROR_SIZE, format, arguments);
  va_end(arguments);
  return true;
}

static bool refuse_for_memory(struct session *session) { return refuse(session, "the daemon has no memory"); }

static struct image_time read_clocks(void) {
  return (struct image_time){.now_ms = clock_now_ms(), .wall_ms = clock_wall_ms()};
}

/* Reads a name of a request; false where it is none, which the session's error says then. */
static bool read_name(struct session *session, ProtobufCBinaryData text, struct name *name) {
  static const struct name_policy policy = {.accept_bare_ip = true, .allow_single_label = true};
  enum name_error error = name_parse(text.data, text.len, &policy, name);
  if (error == NAME_OK)
    return true;
  refuse(session, "\"%.*s\": %s", (int)(text.len < 300 ? text.len : 300), (const char *)text.data,
         name_error_text(error));
  return false;
}

/* ---- stats: done in one step ---- */

static bool step_stats(struct session *session) {
  (void)session;
  return true;
}

static void fill_stats(struct session *session, Mxway__V1__ControlReply *reply) {
  struct control *control = session->control;
  const struct cache *cache = control->served.cache;
  Mxway__V1__StatsReply *stats = &control->result.stats;
  mxway__v1__stats_reply__init(stats);
  stats->version = (char *)MXWAY_VERSION;
  stats->uptime_ms = (uint64_t)(clock_now_ms() - control->created_ms);
  stats->domain_count = cache_count(cache);
  stats->set_count = cache_set_count(cache);
  stats->host_count = cache_host_count(cache);
  stats->bytes = cache_bytes(cache);
  stats->bound_bytes = control->served.cache_size_bytes;
  for (int i = 0; i < STATS_COUNT; i++) {
    Mxway__V1__Counter *counter = control->counter_list[i] = &control->counters[i];
    mxway__v1__counter__init(counter);
    counter->name = (char *)stats_name((enum stats_counter)i);
    counter->text = (char *)stats_text((enum stats_counter)i);
    counter->value = stats_sum((enum stats_counter)i);
  }
  stats->n_counters = STATS_COUNT;
  stats->counters = control->counter_list;
  reply->stats = stats;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_STATS;
}

/* ---- show ---- */

static bool step_show(struct session *session) {
  const struct control_served *served = &session->control->served;
  struct name name;
  if (session->show)
    return show_step(session->show, STEP_COUNT);
  if (!read_name(session, session->request->show->domain, &name))
    return true;
  if (name.kind != NAME_DOMAIN)
    return refuse(session, "an address literal is never in memory: it needs no DNS");
  session->show = show_create(served->cache, served->resolver, &name);
  return session->show ? false : refuse_for_memory(session);
}

static void fill_show(struct session *session, Mxway__V1__ControlReply *reply) {
  reply->show = show_reply(session->show, clock_now_ms());
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_SHOW;
}

/* ---- purge ---- */

/* All names are looked at before the first is purged: an order is followed as a whole or not at all. */
static bool step_domains(struct session *session) {
  const Mxway__V1__PurgeRequest *request = session->request->purge;
  const struct control_served *served = &session->control->served;
  struct name name;
  for (size_t i = 0; i < STEP_COUNT && session->at < 2 * request->n_names; i++, session->at++) {
    if (!read_name(session, request->names[session->at % request->n_names], &name))
      return true;
    if (name.kind != NAME_DOMAIN)
      return refuse(session, "\"%s\" is an address, not a domain", name.text);
    if (session->at >= request->n_names)
      purge_start(&session->purge, served->cache, served->resolver, PURGE_OF_DOMAIN, &name);
  }
  return session->at == 2 * request->n_names;
}

static bool start_purge(struct session *session, enum purge_what what) {
  const Mxway__V1__PurgeRequest *request = session->request->purge;
  const struct control_served *served = &session->control->served;
  bool needs_name = what == PURGE_OF_SUFFIX || what == PURGE_OF_EXCHANGE;
  struct name name;
  session->at = 1;
  if (request->n_names != needs_name)
    return refuse(session, "this purge takes %s", needs_name ? "one name" : "no names");
  if (needs_name) {
    ProtobufCBinaryData text = request->names[0];
    if (what == PURGE_OF_SUFFIX && text.len > 1 && text.data[0] == '.') {
      text.data++; /* ".example" means the same */
      text.len--;
    }
    if (!read_name(session, text, &name))
      return true;
  }
  purge_start(&session->purge, served->cache, served->resolver, what, needs_name ? &name : NULL);
  return false;
}

static bool step_whole_purge(struct session *session, enum purge_what what) {
  if (session->at == 0)
    return start_purge(session, what);
  purge_step(&session->purge, STEP_COUNT, clock_now_ms());
  return purge_has_ended(&session->purge);
}

static bool step_purge(struct session *session) {
  switch ((unsigned)session->request->purge->what) {
  case MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS:
    return step_domains(session);
  case MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX:
    return step_whole_purge(session, PURGE_OF_SUFFIX);
  case MXWAY__V1__PURGE_WHAT__PURGE_EXCHANGE:
    return step_whole_purge(session, PURGE_OF_EXCHANGE);
  case MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE:
    return step_whole_purge(session, PURGE_OF_NEGATIVE);
  case MXWAY__V1__PURGE_WHAT__PURGE_FAILURES:
    return step_whole_purge(session, PURGE_OF_FAILURES);
  case MXWAY__V1__PURGE_WHAT__PURGE_ALL:
    return step_whole_purge(session, PURGE_OF_ALL);
  }
  return refuse(session, "the daemon does not know what to purge: is the client newer?");
}

static void fill_purge(struct session *session, Mxway__V1__ControlReply *reply) {
  Mxway__V1__PurgeReply *purge = &session->control->result.purge;
  mxway__v1__purge_reply__init(purge);
  purge->domain_count = session->purge.domain_count;
  purge->host_count = session->purge.host_count;
  reply->purge = purge;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_PURGE;
  log_notice("purged %" PRIu64 " domains and the addresses of %" PRIu64 " hosts", purge->domain_count,
             purge->host_count);
}

/* ---- dump ---- */

static void end_dump(struct session *session) {
  if (session->dump)
    dump_stop(session->dump);
  free(session->dump);
  free(session->piece);
  session->dump = NULL;
  session->piece = NULL;
}

static bool start_dump(struct session *session) {
  session->piece = malloc(PIECE_BYTES);
  session->dump = session->piece ? malloc(sizeof(*session->dump)) : NULL;
  if (!session->dump) {
    end_dump(session);
    return false;
  }
  dump_start(session->dump, session->control->served.cache);
  return true;
}

static bool step_dump(struct session *session) {
  struct image_time time = read_clocks();
  if (!session->dump && !start_dump(session))
    return refuse_for_memory(session);
  if (session->at == 0)
    session->piece_length = 0;
  session->at = 1;
  session->piece_length += dump_step(session->dump, session->piece + session->piece_length,
                                     PIECE_BYTES - session->piece_length, STEP_COUNT, &time);
  return dump_has_ended(session->dump) || PIECE_BYTES - session->piece_length < IMAGE_RECORD_MAX;
}

static void fill_dump(struct session *session, Mxway__V1__ControlReply *reply) {
  Mxway__V1__DumpReply *dump = &session->control->result.dump;
  mxway__v1__dump_reply__init(dump);
  dump->piece = (ProtobufCBinaryData){.len = session->piece_length, .data = session->piece};
  dump->last = dump_has_ended(session->dump);
  dump->domain_count = session->dump->domain_count;
  dump->host_count = session->dump->host_count;
  reply->dump = dump;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_DUMP;
}

/* ---- load ---- */

static bool step_load(struct session *session) {
  const Mxway__V1__LoadRequest *request = session->request->load;
  const struct control_served *served = &session->control->served;
  struct image_time time = read_clocks();
  char text[LOAD_TEXT_SIZE];
  if (!session->load && !(session->load = load_create(served->cache, served->ttl)))
    return refuse_for_memory(session);
  session->at += load_put(session->load, request->piece.data + session->at, request->piece.len - session->at);
  enum image_status status = load_step(session->load, STEP_COUNT, &time);
  if (status == IMAGE_GOOD || (status == IMAGE_INCOMPLETE && session->at < request->piece.len))
    return false;
  if (status != IMAGE_INCOMPLETE || (request->last && !load_has_ended(session->load)))
    refuse(session, "%s", load_explain(session->load, status, text));
  return true;
}

static void fill_load(struct session *session, Mxway__V1__ControlReply *reply) {
  Mxway__V1__LoadReply *load = &session->control->result.load;
  const struct load_counts *counts = load_counts(session->load);
  mxway__v1__load_reply__init(load);
  load->domain_count = counts->domains;
  load->host_count = counts->hosts;
  load->expired_count = counts->expired;
  load->older_count = counts->older;
  load->future_count = counts->future;
  load->unused_count = counts->unused;
  reply->load = load;
  reply->result_case = MXWAY__V1__CONTROL_REPLY__RESULT_LOAD;
  if (session->request->load->last || session->error[0])
    log_notice("loaded %" PRIu64 " domains and the addresses of %" PRIu64 " hosts from a dump%s%s",
               counts->domains, counts->hosts, session->error[0] ? "; refused " : "", session->error);
}

/* ---- commands ---- */

/* `step` does a part of the job: true when it is done, or refused. `fill` puts its result into the reply. */
static const struct command {
  bool (*step)(struct session *session);
  void (*fill)(struct session *session, Mxway__V1__ControlReply *reply);
} commands[] = {
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_STATS] = {step_stats, fill_stats},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_SHOW] = {step_show, fill_show},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE] = {step_purge, fill_purge},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_DUMP] = {step_dump, fill_dump},
    [MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD] = {step_load, fill_load},
};

static const struct command *command_of(const struct session *session) {
  return &commands[session->request->command_case];
}

/* ---- replies ---- */

/* The reply as a frame, a malloc block; NULL without memory. */
static uint8_t *pack_reply(const Mxway__V1__ControlReply *reply, size_t *length) {
  size_t body_length = mxway__v1__control_reply__get_packed_size(reply);
  uint8_t *frame = malloc(FRAME_HEADER_MAX + body_length);
  if (!frame)
    return NULL;
  *length = frame_build_header(frame, body_length);
  *length += mxway__v1__control_reply__pack(reply, frame + *length);
  return frame;
}

/* What a job leaves behind; a dump or load that has not ended stays for the next. */
static void end_job(struct session *session) {
  Mxway__V1__ControlRequest *request = session->request;
  bool ends_load = request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD &&
                   (request->load->last || session->error[0]);
  if (ends_load) {
    load_destroy(session->load);
    session->load = NULL;
  }
  if (session->dump && dump_has_ended(session->dump))
    end_dump(session);
  purge_stop(&session->purge);
  show_destroy(session->show);
  session->show = NULL;
  mxway__v1__control_request__free_unpacked(request, NULL);
  session->request = NULL;
}

/* Answers a job that is done, out of the list already. The session may be gone after this. */
static void answer(struct session *session) {
  struct server *server = session->control->server;
  struct connection_ref ref = session->ref;
  struct connection *connection = session->connection;
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  size_t length = 0;
  reply.id = session->request->id;
  bool is_load = session->request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD;
  bool has_result = !session->error[0] || (is_load && session->load);
  reply.error = session->error;
  if (has_result)
    command_of(session)->fill(session, &reply);
  uint8_t *frame = pack_reply(&reply, &length);
  end_job(session);
  if (!frame)
    server_break(connection);
  server_answer(server, ref, frame, length);
  free(frame);
}

/* ---- turns ---- */

static void append(struct control *control, struct session *session) {
  session->next = NULL;
  *control->last = session;
  control->last = &session->next;
}

/* The job that is next, taken out of the list. */
static struct session *take_first(struct control *control) {
  struct session *session = control->first;
  control->first = session->next;
  if (!control->first)
    control->last = &control->first;
  return session;
}

static void take_out(struct control *control, const struct session *session) {
  struct session **at = &control->first;
  while (*at && *at != session)
    at = &(*at)->next;
  if (*at)
    *at = session->next;
  for (control->last = &control->first; *control->last;)
    control->last = &(*control->last)->next;
}

static void schedule(struct control *control) {
  if (!control->first || ev_is_active(&control->turn))
    return;
  ev_timer_set(&control->turn, 0., 0.);
  ev_timer_start(control->loop, &control->turn);
}

static void on_turn(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct control *control = timer->data;
  if (!control->first)
    return; /* its client has gone meanwhile */
  struct session *session = take_first(control);
  int64_t end_us = clock_now_us() + CONTROL_SLICE_US;
  bool is_done;
  do
    is_done = command_of(session)->step(session);
  while (!is_done && clock_now_us() < end_us);
  if (is_done)
    answer(session);
  else
    append(control, session);
  schedule(control);
}

/* ---- requests ---- */

/* An answer to a frame that becomes no job. */
static void answer_at_once(struct connection *connection, uint64_t id, const char *error) {
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  size_t length;
  reply.id = id;
  reply.error = (char *)error;
  uint8_t *frame = pack_reply(&reply, &length);
  uint8_t *at = frame ? server_reserve(connection, length) : NULL;
  if (at) {
    memcpy(at, frame, length);
    server_commit(connection, length);
  }
  free(frame);
}

static struct session *session_of(struct control *control, struct connection *connection) {
  struct session **word = (struct session **)server_word(connection);
  if (!*word && (*word = calloc(1, sizeof(**word)))) {
    (*word)->control = control;
    (*word)->connection = connection;
  }
  return *word;
}

static void take_request(struct session *session, Mxway__V1__ControlRequest *request) {
  session->request = request;
  session->error[0] = '\0';
  session->at = 0;
  session->purge = (struct purge){0};
  session->ref = server_defer(session->connection);
  append(session->control, session);
}

static void on_frame(struct control *control, struct connection *connection, const struct frame *frame) {
  struct session *session = session_of(control, connection);
  Mxway__V1__ControlRequest *request =
      mxway__v1__control_request__unpack(NULL, frame->body_length, frame->body);
  if (!session || !request) {
    answer_at_once(connection, 0, "this is no request of the control protocol; is it the lookup socket's?");
    server_break(connection);
  } else if (request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND__NOT_SET) {
    answer_at_once(connection, request->id, "the daemon does not know this command: is the client newer?");
  } else if (session->request) {
    answer_at_once(connection, request->id, "a request is under way on this connection: wait for its answer");
  } else {
    take_request(session, request);
    return;
  }
  mxway__v1__control_request__free_unpacked(request, NULL);
}

static void on_frames(void *context, struct connection *connection, const struct frame *frames,
                      size_t count) {
  struct control *control = context;
  for (size_t i = 0; i < count; i++)
    on_frame(control, connection, &frames[i]);
  schedule(control);
}

static void on_closed(void *context, struct connection *connection) {
  struct control *control = context;
  struct session *session = *server_word(connection);
  if (!session)
    return;
  take_out(control, session);
  if (session->request)
    end_job(session);
  end_dump(session);
  load_destroy(session->load);
  free(session);
}

/* ---- the room ---- */

struct control *control_create(struct ev_loop *loop, int listen_fd, const struct control_served *served) {
  struct control *control = aligned_alloc(64, sizeof(*control));
  if (!control)
    return NULL;
  memset(control, 0, sizeof(*control));
  control->loop = loop;
  control->served = *served;
  control->last = &control->first;
  control->created_ms = clock_now_ms();
  ev_timer_init(&control->turn, on_turn, 0., 0.);
  control->turn.data = control;
  control->server = server_create(loop, listen_fd, &control->connection_count, CONTROL_CONNECTIONS_MAX,
                                  &control->unlisted, on_frames, on_closed, control);
  if (!control->server) {
    free(control);
    return NULL;
  }
  return control;
}

void control_destroy(struct control *control) {
  if (!control)
    return;
  server_destroy(control->server);
  ev_timer_stop(control->loop, &control->turn);
  free(control);
}
