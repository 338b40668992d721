#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dnsmsg.h"
#include "target_kinds.h"

/* Exchanges of one domain whose addresses are asked: the daemon's limit. */
enum { HOSTS_MAX = 32, IDS = 65536, HEADER_SIZE = 12, WIRE_NAME_MAX = 255, OPT_SIZE = 11, EDNS_SIZE = 1232 };
enum { QUERY_SIZE = 2 + HEADER_SIZE + WIRE_NAME_MAX + 4 + OPT_SIZE };
enum { STEP_FIRST = HOSTS_MAX }; /* a step is the number of an exchange, or this one */

struct options {
  bool is_tcp, is_full;
};

struct host {
  unsigned preference;
  bool has_address, is_failed;
  char name[DNSMSG_NAME_SIZE];
};

struct lookup {
  char name[DNSMSG_NAME_SIZE]; /* canonical */
  uint16_t type;
  bool is_implicit;
  unsigned host_count, pending; /* pending: queries without an answer */
  struct host *hosts;           /* HOSTS_MAX with `full`, else NULL */
};

struct pending {
  uint32_t slot;
  uint16_t type; /* 0: the id is free */
  uint8_t step;
};

struct session {
  struct engine_connection *connection;
  const struct options *options;
  uint32_t slot_count, next_id, id_mask;
  struct lookup *lookups;
  struct host *hosts;
  struct pending *ids;
  struct dnsmsg message;
};

/* ---- the target ---- */

static bool set_option(struct target *target, const char *name, const char *value) {
  struct options *options = target->options;
  if (strcmp(name, "tcp") == 0 && !value)
    options->is_tcp = true;
  else if (strcmp(name, "full") == 0 && !value)
    options->is_full = true;
  else
    return false;
  return true;
}

static int parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]) {
  size_t length = strcspn(spec, ",");
  char *address = strndup(spec, length);
  struct options *options = target->options = calloc(1, sizeof *options);
  int result = -1;
  snprintf(error, TARGET_ERROR_SIZE, "out of memory");
  if (address && options)
    result = target_set_address(target, address, 53, error);
  free(address);
  if (result == 0)
    result = target_parse_options(target, spec + length, set_option, error);
  if (result == 0)
    target->socket_type = options->is_tcp ? SOCK_STREAM : SOCK_DGRAM;
  return result;
}

static void destroy(struct target *target) { free(target->options); }

static void close_session(void *context) {
  struct session *session = context;
  if (session) {
    free(session->lookups);
    free(session->hosts);
    free(session->ids);
  }
  free(session);
}

static void *open_session(const struct target *target, struct engine_connection *connection, uint32_t slots) {
  struct session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->connection = connection;
  session->options = target->options;
  session->slot_count = slots;
  uint64_t wanted = (uint64_t)slots * (session->options->is_full ? 4 * HOSTS_MAX : 4);
  uint32_t count = 64;
  while (count < IDS && count < wanted)
    count *= 2;
  session->id_mask = count - 1;
  session->ids = calloc(count, sizeof *session->ids);
  session->lookups = calloc(slots, sizeof *session->lookups);
  if (session->options->is_full)
    session->hosts = calloc((size_t)slots * HOSTS_MAX, sizeof *session->hosts);
  if (!session->ids || !session->lookups || (session->options->is_full && !session->hosts)) {
    close_session(session);
    return NULL;
  }
  for (uint32_t i = 0; i < slots && session->hosts; i++)
    session->lookups[i].hosts = session->hosts + (size_t)i * HOSTS_MAX;
  return session;
}

/* ---- questions ---- */

static uint8_t *put_u16(uint8_t *at, unsigned value) {
  *at++ = (uint8_t)(value >> 8);
  *at++ = (uint8_t)value;
  return at;
}

static unsigned get_u16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

/* The question section: name, type, class IN. NULL for a name that has no wire form. */
static uint8_t *put_question(uint8_t *at, const char *name, uint16_t type) {
  while (*name) {
    size_t length = strcspn(name, ".");
    if (length == 0 || length > 63)
      return NULL;
    *at++ = (uint8_t)length;
    memcpy(at, name, length);
    at += length;
    name += length + (name[length] == '.');
  }
  *at++ = 0;
  return put_u16(put_u16(at, type), 1);
}

/* A free id, taken in turn so that one is not used again soon; -1 where all are in use. */
static int32_t take_id(struct session *session, uint32_t slot, uint8_t step, uint16_t type) {
  for (uint32_t tries = 0; tries <= session->id_mask; tries++) {
    uint32_t id = session->next_id++ & session->id_mask;
    if (session->ids[id].type == 0) {
      session->ids[id] = (struct pending){slot, type, step};
      return (int32_t)id;
    }
  }
  return -1;
}

static bool send_query(struct session *session, uint32_t slot, uint8_t step, const char *name,
                       uint16_t type) {
  uint8_t query[QUERY_SIZE];
  uint8_t *message = query + 2;
  uint8_t *at = put_question(message + HEADER_SIZE, name, type);
  int32_t id = at ? take_id(session, slot, step, type) : -1;
  if (id < 0)
    return false;
  /* Recursion desired, one question, one additional record. */
  static const uint8_t flags_and_counts[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 1};
  put_u16(message, (unsigned)id);
  memcpy(message + 2, flags_and_counts, sizeof flags_and_counts);
  /* EDNS (RFC 6891), or a long MX set would be cut off. */
  const uint8_t opt[OPT_SIZE] = {0, 0, DNSMSG_OPT, EDNS_SIZE >> 8, EDNS_SIZE & 255};
  memcpy(at, opt, sizeof opt);
  at += sizeof opt;
  size_t length = (size_t)(at - message);
  put_u16(query, (unsigned)length);
  bool is_tcp = session->options->is_tcp;
  engine_send(session->connection, is_tcp ? query : message, is_tcp ? length + 2 : length);
  session->lookups[slot].pending++;
  return true;
}

static void ask(void *context, uint32_t slot, const struct query *query) {
  struct session *session = context;
  struct lookup *lookup = &session->lookups[slot];
  size_t length = query->length;
  if (query->name[length - 1] == '.')
    length--;
  for (size_t i = 0; i < length; i++) {
    char octet = query->name[i];
    lookup->name[i] = (char)(octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet);
  }
  lookup->name[length] = '\0';
  lookup->type = query->type && !session->options->is_full ? query->type : DNSMSG_MX;
  lookup->pending = lookup->host_count = 0;
  lookup->is_implicit = false;
  if (length == 0 || !send_query(session, slot, STEP_FIRST, lookup->name, lookup->type))
    engine_done(session->connection, slot, "INVALID_NAME", "INVALID_NAME");
}

static void forget(void *context, uint32_t slot) {
  struct session *session = context;
  for (uint32_t i = 0; i <= session->id_mask; i++)
    if (session->ids[i].type && session->ids[i].slot == slot)
      session->ids[i].type = 0;
}

/* ---- answers: the verdicts have the daemon's names, so that one file verifies both ---- */

static void finish(struct session *session, uint32_t slot, const char *kind,
                   struct target_exchange *exchanges, size_t count) {
  if (!engine_wants_routes(session->connection, slot)) {
    engine_done(session->connection, slot, kind, NULL);
    return;
  }
  char routes[TARGET_ROUTES_SIZE];
  target_build_routes(routes, kind, exchanges, count);
  engine_done(session->connection, slot, kind, routes);
}

static void finish_full(struct session *session, uint32_t slot) {
  const struct lookup *lookup = &session->lookups[slot];
  struct target_exchange exchanges[HOSTS_MAX];
  bool has_address = false, is_failed = false;
  for (unsigned i = 0; i < lookup->host_count; i++) {
    exchanges[i] = (struct target_exchange){lookup->hosts[i].preference, lookup->hosts[i].name};
    has_address |= lookup->hosts[i].has_address;
    is_failed |= lookup->hosts[i].is_failed;
  }
  if (has_address)
    finish(session, slot, "ROUTE", exchanges, lookup->host_count);
  else if (is_failed)
    finish(session, slot, "MX_HOSTS_TEMPFAIL", NULL, 0);
  else
    finish(session, slot, lookup->is_implicit ? "NO_MAIL_HOST" : "MX_HOSTS_NO_ADDRESS", NULL, 0);
}

static void add_host(struct lookup *lookup, unsigned preference, const char *name) {
  for (unsigned i = 0; i < lookup->host_count; i++)
    if (strcmp(lookup->hosts[i].name, name) == 0)
      return;
  if (lookup->host_count == HOSTS_MAX)
    return;
  struct host *host = &lookup->hosts[lookup->host_count++];
  host->preference = preference;
  host->has_address = host->is_failed = false;
  snprintf(host->name, sizeof host->name, "%s", name);
}

/* Asks both address types of every exchange at once, as a mail server has to. */
static void ask_addresses(struct session *session, uint32_t slot) {
  struct lookup *lookup = &session->lookups[slot];
  for (unsigned i = 0; i < lookup->host_count; i++)
    if (!send_query(session, slot, (uint8_t)i, lookup->hosts[i].name, DNSMSG_A) ||
        !send_query(session, slot, (uint8_t)i, lookup->hosts[i].name, DNSMSG_AAAA))
      lookup->hosts[i].is_failed = true;
  if (lookup->pending == 0)
    finish_full(session, slot);
}

static void take_mx(struct session *session, uint32_t slot) {
  const struct dnsmsg *message = &session->message;
  struct lookup *lookup = &session->lookups[slot];
  struct target_exchange exchanges[TARGET_EXCHANGES_MAX];
  size_t count = 0;
  bool is_null = false;
  for (unsigned i = 0; i < message->mx_count; i++) {
    if (message->mx[i].usable && message->mx[i].host[0])
      exchanges[count++] = (struct target_exchange){message->mx[i].preference, message->mx[i].host};
    is_null |= message->mx[i].usable && !message->mx[i].host[0];
  }
  if (count == 0) {
    finish(session, slot, is_null ? "NULL_MX" : "MX_ALL_INVALID", NULL, 0);
  } else if (session->options->is_full) {
    for (size_t i = 0; i < count; i++)
      add_host(lookup, exchanges[i].preference, exchanges[i].host);
    ask_addresses(session, slot);
  } else {
    finish(session, slot, "ROUTE", exchanges, count);
  }
}

/* No MX: the domain is its own exchange (RFC 5321 section 5.1). */
static void take_nodata(struct session *session, uint32_t slot) {
  struct lookup *lookup = &session->lookups[slot];
  struct target_exchange implicit = {0, session->message.canonical};
  if (!session->options->is_full) {
    finish(session, slot, "ROUTE", &implicit, 1);
    return;
  }
  lookup->is_implicit = true;
  add_host(lookup, 0, session->message.canonical);
  ask_addresses(session, slot);
}

static void take_first(struct session *session, uint32_t slot) {
  const char *kind = NULL;
  switch (session->message.outcome) {
  case DNSMSG_ANSWER:
    take_mx(session, slot);
    return;
  case DNSMSG_NODATA:
    take_nodata(session, slot);
    return;
  case DNSMSG_NXDOMAIN:
    kind = "NO_SUCH_DOMAIN";
    break;
  case DNSMSG_LOOP:
    kind = "CNAME_LOOP";
    break;
  case DNSMSG_FOLLOW:
    kind = "CNAME_NOT_FOLLOWED";
    break;
  case DNSMSG_REFUSED:
    kind = "DNS_REFUSED";
    break;
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_NOTIMP:
  case DNSMSG_OTHER_RCODE:
    kind = "DNS_SERVFAIL";
    break;
  case DNSMSG_MALFORMED:
    kind = "DNS_MALFORMED";
    break;
  }
  finish(session, slot, kind, NULL, 0);
}

static void take_address(struct session *session, const struct pending *pending) {
  struct lookup *lookup = &session->lookups[pending->slot];
  struct host *host = &lookup->hosts[pending->step];
  enum dnsmsg_outcome outcome = session->message.outcome;
  if (outcome == DNSMSG_ANSWER)
    host->has_address = true;
  else if (outcome != DNSMSG_NODATA && outcome != DNSMSG_NXDOMAIN)
    host->is_failed = true;
  if (lookup->pending == 0)
    finish_full(session, pending->slot);
}

/* Of a type that only a query file can ask for, the header says enough. */
static const char *kind_of_header(const uint8_t *message) {
  static const char *const rcodes[] = {"NODATA", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
  unsigned rcode = message[3] & 15;
  if (rcode == 0 && get_u16(message + 6) > 0)
    return "ANSWER";
  return rcode < sizeof rcodes / sizeof *rcodes ? rcodes[rcode] : "OTHER_RCODE";
}

/* Whether the message repeats the question: else it is a late answer to an older one, or forged. */
static bool is_answer_to(const uint8_t *message, size_t length, const char *name, uint16_t type) {
  uint8_t question[WIRE_NAME_MAX + 8];
  uint8_t *end = put_question(question, name, type);
  size_t question_length = end ? (size_t)(end - question) : 0;
  return length >= HEADER_SIZE + question_length &&
         memcmp(message + HEADER_SIZE, question, question_length) == 0;
}

static void take_message(struct session *session, const uint8_t *message, size_t length) {
  if (length < HEADER_SIZE || get_u16(message) > session->id_mask)
    return;
  struct pending *entry = &session->ids[get_u16(message)], pending = *entry;
  if (pending.type == 0)
    return;
  struct lookup *lookup = &session->lookups[pending.slot];
  const char *name = pending.step == STEP_FIRST ? lookup->name : lookup->hosts[pending.step].name;
  /* A failure may come without the question (RFC 1035 section 4.1.1 leaves it open). */
  if (get_u16(message + 4) != 0 && !is_answer_to(message, length, name, pending.type))
    return;
  entry->type = 0;
  lookup->pending--;
  bool is_cut = message[2] & 2;
  if (is_cut && pending.step == STEP_FIRST) {
    finish(session, pending.slot, "TRUNCATED", NULL, 0);
  } else if (pending.type != DNSMSG_MX && pending.step == STEP_FIRST) {
    engine_done(session->connection, pending.slot, kind_of_header(message), NULL);
  } else {
    dnsmsg_parse(message, length, name, pending.type, &session->message);
    if (pending.step == STEP_FIRST)
      take_first(session, pending.slot);
    else
      take_address(session, &pending);
  }
}

static ssize_t feed(void *context, const uint8_t *bytes, size_t length) {
  struct session *session = context;
  if (!session->options->is_tcp) {
    take_message(session, bytes, length);
    return (ssize_t)length;
  }
  size_t at = 0;
  while (length - at >= 2 && length - at >= 2 + (size_t)get_u16(bytes + at)) {
    take_message(session, bytes + at + 2, get_u16(bytes + at));
    at += 2 + (size_t)get_u16(bytes + at);
  }
  return (ssize_t)at;
}

const struct target_kind target_dns = {
    .name = "dns",
    .help = "dns:ADDRESS:PORT[,tcp][,full][,pid=N]",
    .parse = parse,
    .destroy = destroy,
    .open = open_session,
    .close = close_session,
    .ask = ask,
    .feed = feed,
    .forget = forget,
};
