#include "control/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/stats.h"
#include "control.pb-c.h"
#include "serve/server.h"

/* One connection and its job. */
struct session {
  struct control *control;
  struct connection *connection;
  struct session *next;
  struct connection_ref ref; /* of the answer that is owed */
  struct job job;
};

struct control {
  struct ev_loop *loop;
  struct job_served served;
  struct server *server;
  _Atomic uint32_t connection_count;
  struct stats unlisted;         /* of the server: these are no clients */
  ev_timer turn;                 /* active while there is a job */
  struct session *first, **last; /* those with a job, the next to run first */
  struct job_result result;      /* of the reply that is being packed */
};

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

/* Answers a job that is done, out of the list already. The session may be gone after this. */
static void answer(struct session *session) {
  struct control *control = session->control;
  struct server *server = control->server;
  struct connection_ref ref = session->ref;
  struct connection *connection = session->connection;
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  size_t length = 0;
  job_fill(&session->job, &control->result, &reply);
  uint8_t *frame = pack_reply(&reply, &length);
  job_end(&session->job);
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

static bool all_wait(const struct control *control) {
  const struct session *session = control->first;
  while (session && job_waits(&session->job))
    session = session->next;
  return !session;
}

static void schedule(struct control *control) {
  ev_timer_stop(control->loop, &control->turn);
  if (!control->first)
    return;
  ev_now_update(control->loop);
  ev_timer_set(&control->turn, all_wait(control) ? CONTROL_WAIT_MS / 1000. : 0., 0.);
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
    is_done = job_step(&session->job);
  while (!is_done && !job_waits(&session->job) && clock_now_us() < end_us);
  if (is_done)
    answer(session);
  else
    append(control, session);
  schedule(control);
}

/* ---- requests ---- */

/* An answer to a frame that becomes no job. Needs no memory. */
static void answer_at_once(struct connection *connection, uint64_t id, const char *error) {
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  reply.id = id;
  reply.error = (char *)error;
  size_t body_length = mxway__v1__control_reply__get_packed_size(&reply);
  uint8_t *at = server_reserve(connection, FRAME_HEADER_MAX + body_length);
  size_t length = frame_build_header(at, body_length);
  server_commit(connection, length + mxway__v1__control_reply__pack(&reply, at + length));
}

static struct session *session_of(struct control *control, struct connection *connection) {
  struct session **word = (struct session **)server_word(connection);
  if (!*word && (*word = calloc(1, sizeof(**word)))) {
    (*word)->control = control;
    (*word)->connection = connection;
    job_init(&(*word)->job, &control->served);
  }
  return *word;
}

static void take_request(struct session *session, Mxway__V1__ControlRequest *request) {
  job_start(&session->job, request);
  session->ref = server_defer(session->connection);
  append(session->control, session);
}

static void on_frame(struct control *control, struct connection *connection, const struct frame *frame) {
  errno = 0;
  Mxway__V1__ControlRequest *request =
      mxway__v1__control_request__unpack(NULL, frame->body_length, frame->body);
  bool has_memory = request || errno != ENOMEM;
  struct session *session = has_memory ? session_of(control, connection) : NULL;
  if (!session) {
    answer_at_once(connection, request ? request->id : 0, "the daemon has no memory");
  } else if (!request) {
    answer_at_once(connection, 0, "this is no request of the control protocol; is it the lookup socket's?");
    server_break(connection);
  } else if (request->command_case == MXWAY__V1__CONTROL_REQUEST__COMMAND__NOT_SET) {
    answer_at_once(connection, request->id, "the daemon does not know this command: is the client newer?");
  } else if (job_is_under_way(&session->job)) {
    answer_at_once(connection, request->id, "a request is under way on this connection: wait for its answer");
  } else {
    take_request(session, request);
    return;
  }
  mxway__v1__control_request__free_unpacked(request, NULL);
}

static void on_frames(void *context, const struct arrival *arrivals, size_t count) {
  struct control *control = context;
  for (size_t i = 0; i < count; i++)
    on_frame(control, arrivals[i].connection, &arrivals[i].frame);
  schedule(control);
}

static void on_closed(void *context, struct connection *connection) {
  struct control *control = context;
  struct session *session = *server_word(connection);
  if (!session)
    return;
  take_out(control, session);
  job_fini(&session->job);
  free(session);
}

/* ---- the room ---- */

struct control *control_create(struct ev_loop *loop, int listen_fd, const struct job_served *served) {
  struct control *control = aligned_alloc(64, sizeof(*control));
  if (!control)
    return NULL;
  memset(control, 0, sizeof(*control));
  control->loop = loop;
  control->served = *served;
  control->last = &control->first;
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
