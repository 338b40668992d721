#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "mxway.pb-c.h"
#include "rules/verdict.h"
#include "target_kinds.h"
#include "wire.h"

enum { FIELD_ID = 1, FIELD_DOMAIN = 2, FIELD_DEPTH = 3, FIELD_REFRESH = 14, FIELD_CACHE_ONLY = 15 };
enum { REPLY_VERDICT = 2 };

struct options {
  bool is_deep, is_refresh, is_cache_only;
};

struct session {
  struct engine_connection *connection;
  uint32_t slot_count;
  uint32_t *forgotten; /* a slot's ids go up by slot_count each time it is forgotten */
  bool has_routes;     /* null's are the same for every name */
  size_t tail_length;
  uint8_t tail[16]; /* the fields that are the same in every request */
};

static bool set_option(struct target *target, const char *name, const char *value) {
  struct options *options = target->options;
  if (strcmp(name, "depth") == 0 && value && strcmp(value, "addresses") == 0)
    options->is_deep = true;
  else if (strcmp(name, "depth") == 0 && value && strcmp(value, "exchanges") == 0)
    options->is_deep = false;
  else if (strcmp(name, "refresh") == 0 && !value)
    options->is_refresh = true;
  else if (strcmp(name, "cache-only") == 0 && !value)
    options->is_cache_only = true;
  else
    return false;
  return true;
}

static int parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]) {
  size_t length = strcspn(spec, ",");
  char *path = strndup(spec, length);
  target->options = calloc(1, sizeof(struct options));
  if (!path || !target->options) {
    snprintf(error, TARGET_ERROR_SIZE, "out of memory");
    free(path);
    return -1;
  }
  const char *usual = getenv("MXWAY_SOCKET");
  int result = target_set_path(target,
                               *path             ? path
                               : usual && *usual ? usual
                                                 : "/run/mxway/lookup.sock",
                               error);
  free(path);
  return result ? result : target_parse_options(target, spec + length, set_option, error);
}

static void destroy(struct target *target) { free(target->options); }

void *target_mxway_open(const struct target *target, struct engine_connection *connection, uint32_t slots) {
  struct session *session = calloc(1, sizeof *session);
  uint32_t *forgotten = calloc(slots, sizeof *forgotten);
  if (!session || !forgotten) {
    free(session);
    free(forgotten);
    return NULL;
  }
  session->connection = connection;
  session->slot_count = slots;
  session->forgotten = forgotten;
  uint8_t *at = session->tail;
  session->has_routes = target->kind == &target_mxway;
  if (session->has_routes) {
    const struct options *options = target->options;
    at = wire_put_uint(at, FIELD_DEPTH, options->is_deep);
    at = wire_put_uint(at, FIELD_REFRESH, options->is_refresh);
    at = wire_put_uint(at, FIELD_CACHE_ONLY, options->is_cache_only);
  }
  session->tail_length = (size_t)(at - session->tail);
  return session;
}

void target_mxway_close(void *context) {
  struct session *session = context;
  free(session->forgotten);
  free(session);
}

/* Packed by hand: the generator must never be what is measured. */
void target_mxway_ask(void *context, uint32_t slot, const struct query *query) {
  struct session *session = context;
  uint8_t frame[FRAME_HEADER_MAX + 2 * (1 + WIRE_VARINT_MAX) + QUERY_NAME_SIZE + sizeof session->tail];
  uint8_t *body = frame + FRAME_HEADER_MAX;
  uint64_t id = 1 + slot + (uint64_t)session->forgotten[slot] * session->slot_count;
  uint8_t *at = wire_put_uint(body, FIELD_ID, id);
  at = wire_put_string(at, FIELD_DOMAIN, query->name, query->length);
  at = wire_put_bytes(at, session->tail, session->tail_length);
  size_t length = (size_t)(at - body);
  uint8_t *header = body - wire_varint_length(length);
  wire_put_varint(header, length);
  engine_send(session->connection, header, (size_t)(at - header));
}

void target_mxway_forget(void *context, uint32_t slot) {
  struct session *session = context;
  session->forgotten[slot]++;
}

/* ---- replies ---- */

/* The end of a varint, or NULL. */
static const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
    *value |= (uint64_t)(*at & 0x7f) << shift;
    if (!(*at++ & 0x80))
      return at;
  }
  return NULL;
}

/* Reads id and verdict, which every encoder writes first; the rest is looked through only without them. */
static bool read_reply(const uint8_t *at, const uint8_t *end, uint64_t *id, uint64_t *verdict) {
  *id = *verdict = 0;
  while (at < end && (*id == 0 || *verdict == 0)) {
    uint64_t tag, value;
    at = get_varint(at, end, &tag);
    if (!at)
      return false;
    if ((tag & 7) != WIRE_TYPE_VARINT && (tag & 7) != WIRE_TYPE_BYTES)
      return false;
    at = get_varint(at, end, &value);
    if (!at)
      return false;
    if (tag == WIRE_TAG(FIELD_ID, WIRE_TYPE_VARINT))
      *id = value;
    else if (tag == WIRE_TAG(REPLY_VERDICT, WIRE_TYPE_VARINT))
      *verdict = value;
    if ((tag & 7) == WIRE_TYPE_BYTES) {
      if (value > (uint64_t)(end - at))
        return false;
      at += value;
    }
  }
  return *id != 0;
}

static const char *name_of(uint64_t verdict) {
  return verdict >= VERDICT_ROUTE && verdict <= VERDICT_BAD_REQUEST ? verdict_name((enum verdict)verdict)
                                                                    : "UNKNOWN";
}

static void finish_with_routes(struct session *session, uint32_t slot, const char *kind,
                               const struct frame *frame) {
  Mxway__V1__LookupReply *reply = mxway__v1__lookup_reply__unpack(NULL, frame->body_length, frame->body);
  if (!reply) {
    engine_done(session->connection, slot, kind, "not a LookupReply");
    return;
  }
  struct target_exchange exchanges[TARGET_EXCHANGES_MAX];
  size_t count = 0;
  if (reply->verdict == MXWAY__V1__VERDICT__VERDICT_ROUTE)
    for (; count < reply->n_exchanges && count < TARGET_EXCHANGES_MAX; count++)
      exchanges[count] =
          (struct target_exchange){reply->exchanges[count]->preference, reply->exchanges[count]->host};
  char routes[TARGET_ROUTES_SIZE];
  target_build_routes(routes, kind, exchanges, count);
  engine_done(session->connection, slot, kind, routes);
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
}

static bool take_reply(struct session *session, const struct frame *frame) {
  uint64_t id, verdict;
  if (!read_reply(frame->body, frame->body + frame->body_length, &id, &verdict))
    return false;
  uint32_t slot = (uint32_t)((id - 1) % session->slot_count);
  uint64_t forgotten = (id - 1) / session->slot_count;
  if (forgotten != session->forgotten[slot])
    return forgotten < session->forgotten[slot]; /* late, or of no question of ours */
  if (session->has_routes && engine_wants_routes(session->connection, slot))
    finish_with_routes(session, slot, name_of(verdict), frame);
  else
    engine_done(session->connection, slot, name_of(verdict), NULL);
  return true;
}

ssize_t target_mxway_feed(void *context, const uint8_t *bytes, size_t length) {
  struct session *session = context;
  size_t at = 0;
  struct frame frame;
  enum frame_state state;
  while ((state = frame_parse(bytes + at, length - at, FRAME_REPLY_MAX, &frame)) == FRAME_COMPLETE) {
    if (!take_reply(session, &frame))
      return -1;
    at += frame.header_length + frame.body_length;
  }
  return state == FRAME_BROKEN ? -1 : (ssize_t)at;
}

const struct target_kind target_mxway = {
    .name = "mxway",
    .help = "mxway:SOCKET[,depth=exchanges|addresses][,refresh][,cache-only][,pid=N]",
    .parse = parse,
    .destroy = destroy,
    .open = target_mxway_open,
    .close = target_mxway_close,
    .ask = target_mxway_ask,
    .feed = target_mxway_feed,
    .forget = target_mxway_forget,
};
