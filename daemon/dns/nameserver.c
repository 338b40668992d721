#include "dns/nameserver.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/dnsquery.h"
#include "dns/dnsqueue.h"
#include "dns/dnsstory.h"

enum {
  PLAIN_CASE_MS = 300000, /* how long a server that keeps no case is asked in lower case */
  SERVER_NUMBERS = 64,
  HEADER_LENGTH = 12,
};

/* Why a question goes over TCP. */
enum tcp_reason { TCP_NOT, TCP_TRUNCATED, TCP_BROKEN, TCP_OTHER_CASE };

struct nameserver_try {
  struct dnsqueue_node node; /* first; among those that failed while they were being sent */
  struct nameservers *all;
  struct nameserver *server;
  void *context;
  struct story *story;
  struct channel *channel;
  bool is_awaited; /* `done` is to be called */
  bool is_probe;
  bool random_case;
  enum channel_kind kind;
  enum tcp_reason tcp_reason;
  enum channel_result failure; /* of one that failed at once */
  int64_t sent_us;             /* in this way */
  uint16_t qtype;
  size_t question_length;
  uint8_t question[DNSQUERY_QUESTION_MAX]; /* as it was sent */
  char name[];
};

struct nameservers {
  struct ev_loop *loop;
  struct stats *stats;
  struct nameserver_options options;
  struct channels *channels;
  struct nameserver *known;
  uint64_t server_numbers; /* drawn so far */
  struct dnsqueue_list failed;
  ev_timer soon; /* tells what failed while it was being sent */
  struct dnsquery_source source;
  bool is_sending;       /* inside channel_send */
  struct dnsmsg message; /* the reply being delivered */
};

/* ---- servers ---- */

static bool is_loopback(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

struct nameserver *nameserver_get(struct nameservers *all, const struct sockaddr_storage *address) {
  char text[ADDRESS_TEXT_SIZE];
  address_text(address, text);
  for (struct nameserver *server = all->known; server; server = server->next)
    if (strcmp(server->text, text) == 0)
      return server;
  struct nameserver *server = calloc(1, sizeof(*server));
  if (!server)
    return NULL;
  server->channel.address = *address;
  health_init(&server->health);
  server->bit = UINT64_C(1) << all->server_numbers++ % SERVER_NUMBERS;
  server->is_trusted = all->options.trust_ad || is_loopback(address);
  memcpy(server->text, text, sizeof(text));
  server->next = all->known;
  all->known = server;
  return server;
}

void nameserver_release(struct nameservers *all, struct nameserver *server) {
  channel_release(all->channels, &server->channel);
}

static void note_demotion(const struct nameservers *all, const struct nameserver *server, bool is_demoted,
                          const char *why) {
  if (!is_demoted)
    return;
  stats_add(all->stats, STATS_DNS_DEMOTIONS);
  log_notice("upstream %s %s: it is asked last for %u s", server->text, why,
             server->health.demoted_ms / 1000);
}

/* One is back; where it was the network that had gone, the others are, too. */
static void note_return(const struct nameservers *all, const struct nameserver *server, int64_t now_ms) {
  log_notice("upstream %s answers again", server->text);
  for (struct nameserver *other = all->known; other; other = other->next)
    health_probe_soon(&other->health, now_ms);
}

void nameserver_note_lame(struct nameservers *all, struct nameserver *server, int64_t now_ms) {
  note_demotion(all, server, health_on_lame(&server->health, now_ms),
                "knows nothing that another server knows");
}

/* One that stalls over TCP has just answered over UDP. */
void nameserver_note_late(const struct nameserver_try *late, const struct nameserver_try *winner,
                          int64_t now_ms) {
  struct nameserver *server = late->server;
  if (late->kind != CHANNEL_TCP && server != winner->server && late->sent_us < winner->sent_us)
    note_demotion(late->all, server, health_on_late(&server->health, late->sent_us / 1000, now_ms),
                  "is late again and again");
}

bool nameserver_is_unhelpful(enum dnsmsg_outcome outcome) {
  switch (outcome) {
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_NOTIMP:
  case DNSMSG_REFUSED:
  case DNSMSG_OTHER_RCODE:
  case DNSMSG_MALFORMED:
    return true;
  case DNSMSG_ANSWER:
  case DNSMSG_NODATA:
  case DNSMSG_NXDOMAIN:
  case DNSMSG_FOLLOW:
  case DNSMSG_LOOP:
    return false;
  }
  return false;
}

/* ---- the end of a try ---- */

static void free_try(struct nameserver_try *sent) {
  story_unref(sent->story);
  free(sent);
}

static void end(struct nameserver_try *sent, enum nameserver_result result, const struct dnsmsg *message,
                int64_t now_ms) {
  if (sent->is_awaited)
    sent->all->options.done(sent->context, sent, result, message, now_ms);
  free_try(sent);
}

static struct dnsstory_try for_story(const struct nameserver_try *sent) {
  static const char *const transports[] = {"UDP", "UDP without EDNS", "TCP"};
  return (struct dnsstory_try){sent->server->text, sent->name, transports[sent->kind], sent->qtype};
}

static void tell_failure(struct nameserver_try *sent, enum channel_result failure, int64_t now_ms) {
  struct nameservers *all = sent->all;
  struct nameserver *server = sent->server;
  struct dnsstory_try told = for_story(sent);
  bool was_silent = failure == CHANNEL_TIMED_OUT, is_tcp = sent->kind == CHANNEL_TCP;
  if (was_silent)
    stats_add(all->stats, STATS_DNS_TIMEOUTS);
  if (!is_tcp)
    note_demotion(all, server,
                  health_on_failure(&server->health, was_silent ? HEALTH_SILENT : HEALTH_UNREACHABLE,
                                    sent->sent_us / 1000, now_ms),
                  was_silent ? "does not answer" : "cannot be reached");
  dnsstory_failed(sent->story, &told, was_silent);
  if (sent->tcp_reason == TCP_BROKEN) { /* the reply that is known stands (ROUTING V11) */
    dnsmsg_parse((const uint8_t *)"", 0, sent->name, sent->qtype, &all->message);
    end(sent, NAMESERVER_REPLIED, &all->message, now_ms);
  } else {
    end(sent, was_silent && !is_tcp ? NAMESERVER_TIMED_OUT : NAMESERVER_UNREACHABLE, NULL, now_ms);
  }
}

/* What fails while something is being sent is told in the next turn of the loop: nameserver_ask never calls
 * back, and nothing is sent from inside channel_send. */
static void fail_soon(struct nameserver_try *sent, enum channel_result failure) {
  struct nameservers *all = sent->all;
  sent->failure = failure;
  dnsqueue_list_append(&all->failed, &sent->node);
  ev_timer_start(all->loop, &all->soon);
}

static void on_soon(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct nameservers *all = timer->data;
  int64_t now_ms = clock_now_ms();
  /* What fails meanwhile is for the next turn. */
  for (unsigned left = all->failed.count; left > 0; left--) {
    struct nameserver_try *sent = (struct nameserver_try *)all->failed.first;
    dnsqueue_list_remove(&all->failed, &sent->node);
    tell_failure(sent, sent->failure, now_ms);
  }
}

/* ---- asking ---- */

static void send_over(struct nameserver_try *sent, enum channel_kind kind) {
  struct nameservers *all = sent->all;
  struct nameserver *server = sent->server;
  uint8_t bytes[DNSQUERY_BYTES_MAX];
  enum channel_result failure = CHANNEL_UNREACHABLE;
  sent->kind = kind;
  sent->sent_us = clock_now_us();
  sent->random_case = all->options.random_case && server->plain_case_until_ms <= sent->sent_us / 1000;
  const struct dnsquery_options options = {
      .with_edns = kind == CHANNEL_UDP, .random_case = sent->random_case, .edns_size = CHANNEL_EDNS_SIZE};
  size_t length = dnsquery_build(&all->source, sent->name, sent->qtype, &options, bytes);
  sent->question_length = length - HEADER_LENGTH - (options.with_edns ? DNSQUERY_OPT_LENGTH : 0);
  memcpy(sent->question, bytes + HEADER_LENGTH, sent->question_length);
  sent->channel = channel_get(all->channels, &server->channel, kind);
  if (sent->channel) {
    all->is_sending = true;
    bool is_sent = channel_send(sent->channel, bytes, length, sent, &failure);
    all->is_sending = false;
    if (is_sent)
      return;
  }
  fail_soon(sent, failure);
}

static struct nameserver_try *create_try(struct nameservers *all, struct nameserver *server,
                                         const struct nameserver_question *question) {
  size_t length = strlen(question->name);
  struct nameserver_try *sent = malloc(sizeof(*sent) + length + 1);
  if (!sent)
    return NULL;
  *sent = (struct nameserver_try){
      .all = all, .server = server, .qtype = question->qtype, .story = story_ref(question->story)};
  memcpy(sent->name, question->name, length + 1);
  return sent;
}

static void send_first(struct nameserver_try *sent) {
  bool is_plain = sent->server->channel.plain_until_ms > clock_now_ms();
  send_over(sent, is_plain ? CHANNEL_UDP_PLAIN : CHANNEL_UDP);
}

struct nameserver_try *nameserver_ask(struct nameservers *all, struct nameserver *server,
                                      const struct nameserver_question *question, void *context) {
  struct nameserver_try *sent = create_try(all, server, question);
  if (!sent)
    return NULL;
  sent->context = context;
  sent->is_awaited = true;
  send_first(sent);
  return sent;
}

void nameserver_probe(struct nameservers *all, struct nameserver *server,
                      const struct nameserver_question *question, int64_t now_ms) {
  if (!health_start_probe(&server->health, now_ms))
    return;
  struct nameserver_try *sent = create_try(all, server, question);
  if (!sent) {
    server->health.is_probed = false;
    return;
  }
  stats_add(all->stats, STATS_DNS_PROBES);
  sent->is_probe = true;
  send_first(sent);
}

void nameserver_let_go(struct nameserver_try *sent) {
  sent->is_awaited = false;
  story_unref(sent->story);
  sent->story = NULL;
}

struct nameserver *nameserver_of(const struct nameserver_try *sent) {
  return sent->server;
}

/* ---- replies ---- */

static bool is_truncated(const uint8_t *bytes, size_t length) { return length > 2 && bytes[2] & 0x02; }

static void ask_over_tcp(struct nameserver_try *sent, enum tcp_reason reason, enum dnsstory_again again) {
  stats_add(sent->all->stats, STATS_DNS_TCP);
  dnsstory_again(sent->story, sent->server->text, again);
  sent->tcp_reason = reason;
  send_over(sent, CHANNEL_TCP);
}

/* Whether a reply over UDP is not to be used, and the question is under way in another way. */
static bool ask_otherwise(struct nameserver_try *sent, const uint8_t *bytes, size_t length, bool has_case,
                          bool was_plain) {
  struct nameservers *all = sent->all;
  enum dnsmsg_outcome outcome = all->message.outcome;
  if (!has_case) {
    stats_add(all->stats, STATS_DNS_FORGED);
    ask_over_tcp(sent, TCP_OTHER_CASE, DNSSTORY_OTHER_CASE);
  } else if (is_truncated(bytes, length)) {
    ask_over_tcp(sent, TCP_TRUNCATED, DNSSTORY_TRUNCATED);
  } else if (outcome == DNSMSG_FORMERR && !was_plain) {
    dnsstory_again(sent->story, sent->server->text, DNSSTORY_NO_EDNS);
    send_over(sent, CHANNEL_UDP_PLAIN);
  } else if (outcome == DNSMSG_MALFORMED) {
    stats_add(all->stats, STATS_DNS_MALFORMED);
    ask_over_tcp(sent, TCP_BROKEN, DNSSTORY_BROKEN);
  } else {
    return false;
  }
  return true;
}

/* A reply in the end, of whatever outcome: in all->message. */
static void deliver(struct nameserver_try *sent, const uint8_t *bytes, size_t length, int64_t took_us,
                    int64_t now_ms) {
  struct nameservers *all = sent->all;
  struct dnsmsg *message = &all->message;
  struct dnsstory_try told = for_story(sent);
  bool is_doubted = message->authentic && !sent->server->is_trusted;
  message->authentic = message->authentic && !is_doubted;
  if (!nameserver_is_unhelpful(message->outcome))
    health_on_help(&sent->server->health);
  if (sent->is_awaited)
    stats_add(all->stats, message->outcome == DNSMSG_MALFORMED ? STATS_DNS_MALFORMED : STATS_DNS_ANSWERS);
  dnsstory_replied(sent->story, &told, message, bytes, length, is_doubted, took_us);
  end(sent, NAMESERVER_REPLIED, message, now_ms);
}

static void on_message(struct nameserver_try *sent, const uint8_t *bytes, size_t length, int64_t now_ms) {
  struct nameservers *all = sent->all;
  struct nameserver *server = sent->server;
  int64_t took_us = clock_now_us() - sent->sent_us;
  bool was_demoted = server->health.is_demoted;
  dnsmsg_parse(bytes, length, sent->name, sent->qtype, &all->message);
  bool was_plain = channel_was_plain(sent->channel, all->message.has_opt, now_ms);
  bool has_case = !sent->random_case || dnsquery_compare(sent->question, sent->question_length, bytes,
                                                         length) != DNSQUERY_OTHER_CASE;
  if (sent->kind != CHANNEL_TCP)
    health_on_reply(&server->health, took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us, now_ms);
  else if (sent->tcp_reason == TCP_OTHER_CASE && !has_case) /* no forger over TCP: it is its own way */
    server->plain_case_until_ms = now_ms + PLAIN_CASE_MS;
  bool is_last = sent->kind == CHANNEL_TCP || (!sent->is_awaited && !sent->is_probe);
  if (is_last || !ask_otherwise(sent, bytes, length, has_case, was_plain))
    deliver(sent, bytes, length, took_us, now_ms);
  if (was_demoted && !server->health.is_demoted)
    note_return(all, server, now_ms);
}

static void on_channel(void *context, enum channel_result result, const uint8_t *bytes, size_t length) {
  struct nameserver_try *sent = context;
  int64_t now_ms = clock_now_ms();
  switch (result) {
  case CHANNEL_MESSAGE:
    on_message(sent, bytes, length, now_ms);
    break;
  case CHANNEL_TIMED_OUT:
  case CHANNEL_UNREACHABLE:
    channel_was_plain(sent->channel, false, now_ms);
    if (sent->all->is_sending)
      fail_soon(sent, result);
    else
      tell_failure(sent, result, now_ms);
    break;
  case CHANNEL_CLOSED:
    free_try(sent);
    break;
  }
}

/* ---- the room ---- */

struct nameservers *nameservers_create(struct ev_loop *loop, const struct nameserver_options *options,
                                       struct stats *stats) {
  struct nameservers *all = calloc(1, sizeof(*all));
  if (!all)
    return NULL;
  all->channels = channels_create(loop, options->timeout_ms, on_channel, stats);
  if (!all->channels) {
    free(all);
    return NULL;
  }
  all->loop = loop;
  all->stats = stats;
  all->options = *options;
  ev_timer_init(&all->soon, on_soon, 0., 0.);
  all->soon.data = all;
  return all;
}

void nameservers_destroy(struct nameservers *all) {
  struct dnsqueue_node *node;
  if (!all)
    return;
  channels_destroy(all->channels);
  while ((node = all->failed.first)) {
    dnsqueue_list_remove(&all->failed, node);
    free_try((struct nameserver_try *)node);
  }
  while (all->known) {
    struct nameserver *server = all->known;
    all->known = server->next;
    free(server);
  }
  ev_timer_stop(all->loop, &all->soon);
  free(all);
}
