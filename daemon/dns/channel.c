#include "dns/channel.h"

#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum {
  TICK_MS = 50,       /* how often c-ares looks for timeouts */
  NO_EDNS_MS = 30000, /* how long a FORMERR to EDNS is believed */
  SOCKET_BUFFER_BYTES = 1 << 20,
};

struct channel {
  struct channels *channels;
  struct channel *next; /* of all */
  struct channel_server *server;
  ares_channel ares;
  struct watcher *watchers;
  unsigned under_way, in_ares, sent; /* in_ares: those under way, and some that have timed out */
  bool is_retired;
  enum channel_kind kind; /* only from queries that carry OPT may c-ares cut it off */
  bool lost_edns;         /* c-ares has dropped EDNS for good, at a FORMERR without OPT */
};

struct watcher {
  ev_io io;
  struct channel *channel;
  struct watcher *next;
};

/* One query while c-ares has it. */
struct flying {
  struct channel *channel;
  struct flying *previous, *next; /* of those under way, the oldest first */
  void *context;
  int64_t due_ms;
  bool is_over; /* it has timed out, of which c-ares knows nothing yet */
};

struct channels {
  struct ev_loop *loop;
  struct stats *stats;
  channel_done_fn *done;
  uint32_t timeout_ms;
  ev_timer tick;
  struct channel *all;
  struct flying *first, *last; /* under way: all have the same timeout, so that the oldest is due first */
  unsigned in_ares;
  const struct flying *sending; /* whom ares_send has now, else NULL */
  enum channel_result at_once;  /* how it failed before ares_send has returned */
  bool is_ending;
};

/* ---- sockets ---- */

/* Where c-ares keeps another time than we do it must not look at it as long as something is under way; it
 * closes idle sockets then, too. */
#if ARES_VERSION >= 0x012200
static void process_socket(ares_channel ares, int fd, int events) {
  const ares_fd_events_t event = {.fd = fd,
                                  .events = (events & EV_READ ? ARES_FD_EVENT_READ : 0u) |
                                            (events & EV_WRITE ? ARES_FD_EVENT_WRITE : 0u)};
  ares_process_fds(ares, &event, 1, ARES_PROCESS_FLAG_SKIP_NON_FD);
}

static bool may_process_time(const struct channel *channel) { return channel->under_way == 0; }
#else
static void process_socket(ares_channel ares, int fd, int events) {
  ares_process_fd(ares, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static bool may_process_time(const struct channel *channel) { return channel->in_ares > 0; }
#endif

static void on_socket(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop;
  process_socket(((struct watcher *)io)->channel->ares, io->fd, events);
}

static struct watcher **find_watcher(struct channel *channel, int fd) {
  struct watcher **link = &channel->watchers;
  while (*link && (*link)->io.fd != fd)
    link = &(*link)->next;
  return link;
}

/* c-ares says what it wants to know of a socket; neither means that it closes it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
  struct channel *channel = data;
  struct watcher **link = find_watcher(channel, fd), *watcher = *link;
  int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
  if (watcher)
    ev_io_stop(channel->channels->loop, &watcher->io);
  if (events == 0) {
    if (watcher) {
      *link = watcher->next;
      free(watcher);
    }
    return;
  }
  if (!watcher) {
    watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
      return; /* the query times out */
    watcher->channel = channel;
    watcher->next = channel->watchers;
    channel->watchers = watcher;
  }
  ev_io_init(&watcher->io, on_socket, fd, events);
  ev_io_start(channel->channels->loop, &watcher->io);
}

/* ---- channels ---- */

static void set_node(struct ares_addr_port_node *node, const struct sockaddr_storage *address) {
  memset(node, 0, sizeof(*node));
  node->family = address->ss_family;
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    node->addr.addr4 = v4->sin_addr;
    node->udp_port = node->tcp_port = ntohs(v4->sin_port);
  } else {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    memcpy(&node->addr.addr6, &v6->sin6_addr, sizeof(v6->sin6_addr));
    node->udp_port = node->tcp_port = ntohs(v6->sin6_port);
  }
}

static const int kind_flags[CHANNEL_KINDS] = {[CHANNEL_UDP] = ARES_FLAG_IGNTC | ARES_FLAG_EDNS,
                                              [CHANNEL_UDP_PLAIN] = ARES_FLAG_IGNTC,
                                              [CHANNEL_TCP] = ARES_FLAG_USEVC};

/* With server, domains and the rest given, c-ares has no reason to read resolv.conf and its like again
 * for each channel; the server given here is replaced before it is asked. */
static int init_ares(struct channel *channel) {
  struct in_addr replaced = {.s_addr = htonl(INADDR_LOOPBACK)};
  char lookups[] = "b";
  struct ares_options options = {
      .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | kind_flags[channel->kind],
      .timeout = (int)channel->channels->timeout_ms,
      .tries = 1, /* retries are for dns to decide */
      .ndots = 1,
      .servers = &replaced,
      .nservers = 1,
      .lookups = lookups,
      .ednspsz = CHANNEL_EDNS_SIZE,
      .socket_send_buffer_size = SOCKET_BUFFER_BYTES,
      .socket_receive_buffer_size = SOCKET_BUFFER_BYTES,
      .sock_state_cb = on_socket_state,
      .sock_state_cb_data = channel,
  };
  int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_SNDBUF |
            ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
            ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_LOOKUPS;
#ifdef ARES_OPT_QUERY_CACHE
  options.qcache_max_ttl = 0; /* its cache keeps NODATA for the wrong time */
  set |= ARES_OPT_QUERY_CACHE;
#endif
#ifdef ARES_OPT_MAXTIMEOUTMS
  options.maxtimeout = options.timeout;
  set |= ARES_OPT_MAXTIMEOUTMS;
#endif
#ifdef ARES_OPT_UDP_MAX_QUERIES
  options.udp_max_queries = CHANNEL_QUERIES_MAX;
  set |= ARES_OPT_UDP_MAX_QUERIES;
#endif
  if (ares_init_options(&channel->ares, &options, set) != ARES_SUCCESS)
    return ERR_NOMEM;
  struct ares_addr_port_node node;
  set_node(&node, &channel->server->address);
  if (ares_set_servers_ports(channel->ares, &node) == ARES_SUCCESS)
    return 0;
  ares_destroy(channel->ares);
  return ERR_NOMEM;
}

static struct channel *open_channel(struct channels *channels, struct channel_server *server,
                                    enum channel_kind kind) {
  struct channel *channel = calloc(1, sizeof(*channel));
  if (!channel)
    return NULL;
  channel->channels = channels;
  channel->server = server;
  channel->kind = kind;
  if (init_ares(channel) != 0) {
    free(channel);
    return NULL;
  }
  stats_add(channels->stats, STATS_DNS_CHANNELS);
  channel->next = channels->all;
  channels->all = channel;
  server->current[kind] = channel;
  return channel;
}

static void close_channel(struct channel *channel) {
  ares_destroy(channel->ares);
  while (channel->watchers) {
    struct watcher *watcher = channel->watchers;
    channel->watchers = watcher->next;
    ev_io_stop(channel->channels->loop, &watcher->io);
    free(watcher);
  }
  free(channel);
}

static void retire_channel(struct channel *channel) {
  if (!channel->is_retired)
    channel->server->current[channel->kind] = NULL;
  channel->is_retired = true;
}

struct channel *channel_get(struct channels *channels, struct channel_server *server,
                            enum channel_kind kind) {
  struct channel *channel = server->current[kind];
  if (channel && channel->sent >= CHANNEL_QUERIES_MAX) {
    retire_channel(channel);
    channel = NULL;
  }
  return channel ? channel : open_channel(channels, server, kind);
}

void channel_release(struct channels *channels, struct channel_server *server) {
  for (size_t kind = 0; kind < CHANNEL_KINDS; kind++)
    if (server->current[kind])
      retire_channel(server->current[kind]);
  ev_timer_start(channels->loop, &channels->tick); /* which closes those that are idle */
}

/* Notices that c-ares has dropped EDNS on this channel, having asked the query that
 * got the FORMERR again without OPT. True once, when that is first seen. */
static bool notice_lost_edns(struct channel *channel, int64_t now_ms) {
  struct ares_options options;
  int set = 0;
  if (channel->kind != CHANNEL_UDP || channel->lost_edns ||
      ares_save_options(channel->ares, &options, &set) != ARES_SUCCESS)
    return false;
  channel->lost_edns = !(options.flags & ARES_FLAG_EDNS);
  ares_destroy_options(&options);
  if (channel->lost_edns) {
    channel->server->plain_until_ms = now_ms + NO_EDNS_MS;
    retire_channel(channel);
  }
  return channel->lost_edns;
}

bool channel_was_plain(struct channel *channel, bool has_opt, int64_t now_ms) {
  bool lost_now = !has_opt && notice_lost_edns(channel, now_ms);
  /* Alone on the channel, this query was the one that c-ares has asked again. */
  return channel->kind != CHANNEL_UDP || (lost_now && channel->under_way == 0);
}

/* ---- queries ---- */

static void take_off(struct flying *flying) {
  struct channels *channels = flying->channel->channels;
  flying->due_ms = clock_now_ms() + channels->timeout_ms;
  flying->previous = channels->last;
  *(channels->last ? &channels->last->next : &channels->first) = flying;
  channels->last = flying;
  flying->channel->under_way++;
  flying->channel->in_ares++;
  channels->in_ares++;
}

static void land(struct flying *flying) {
  struct channels *channels = flying->channel->channels;
  *(flying->previous ? &flying->previous->next : &channels->first) = flying->next;
  *(flying->next ? &flying->next->previous : &channels->last) = flying->previous;
  flying->channel->under_way--;
  flying->is_over = true;
}

static void on_ares(void *context, int status, int timeouts, unsigned char *bytes, int length) {
  (void)timeouts;
  struct flying *flying = context;
  struct channels *channels = flying->channel->channels;
  void *asker = flying->context;
  bool is_at_once = flying == channels->sending, was_over = flying->is_over;
  /* Of errors of the network, too, some say that the time is over. */
  bool is_timeout = status == ARES_ETIMEOUT && clock_now_ms() + 1 >= flying->due_ms;
  flying->channel->in_ares--;
  channels->in_ares--;
  if (!was_over)
    land(flying);
  free(flying);
  if (was_over)
    return;
  enum channel_result result = is_timeout ? CHANNEL_TIMED_OUT : CHANNEL_UNREACHABLE;
  if (channels->is_ending || status == ARES_EDESTRUCTION)
    channels->done(asker, CHANNEL_CLOSED, NULL, 0);
  else if (is_at_once)
    channels->at_once = result;
  else if (status == ARES_SUCCESS && bytes)
    channels->done(asker, CHANNEL_MESSAGE, bytes, (size_t)length);
  else if (status == ARES_EBADRESP) /* newer ones look themselves, and keep what they cannot read */
    channels->done(asker, CHANNEL_MESSAGE, (const uint8_t *)"", 0);
  else
    channels->done(asker, result, NULL, 0);
}

bool channel_send(struct channel *channel, const uint8_t *bytes, size_t length, void *context,
                  enum channel_result *failure) {
  struct channels *channels = channel->channels;
  struct flying *flying = malloc(sizeof(*flying));
  *failure = CHANNEL_UNREACHABLE;
  if (!flying)
    return false;
  *flying = (struct flying){.channel = channel, .context = context};
  take_off(flying);
  channel->sent++;
  stats_add(channels->stats, STATS_DNS_QUERIES);
  ev_timer_start(channels->loop, &channels->tick);
  channels->at_once = CHANNEL_MESSAGE; /* which no failure is */
  channels->sending = flying;
  ares_send(channel->ares, bytes, (int)length, on_ares, flying);
  channels->sending = NULL;
  *failure = channels->at_once;
  return *failure == CHANNEL_MESSAGE;
}

/* ---- time ---- */

static void time_out(struct channels *channels) {
  int64_t now_ms = clock_now_ms();
  while (channels->first && channels->first->due_ms <= now_ms) {
    struct flying *flying = channels->first;
    land(flying);
    channels->done(flying->context, CHANNEL_TIMED_OUT, NULL, 0);
  }
}

/* Ends what has timed out, lets c-ares see it, and closes the channels that are drained. */
static void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct channels *channels = timer->data;
  for (struct channel *channel = channels->all; channel; channel = channel->next)
    if (may_process_time(channel))
      ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  time_out(channels);
  for (struct channel **link = &channels->all, *channel; (channel = *link);) {
    if (channel->is_retired && channel->under_way == 0) {
      *link = channel->next;
      close_channel(channel);
    } else {
      link = &channel->next;
    }
  }
  if (channels->in_ares == 0)
    ev_timer_stop(loop, timer);
}

struct channels *channels_create(struct ev_loop *loop, uint32_t timeout_ms, channel_done_fn *done,
                                 struct stats *stats) {
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
    return NULL;
  struct channels *channels = calloc(1, sizeof(*channels));
  if (!channels) {
    ares_library_cleanup();
    return NULL;
  }
  channels->loop = loop;
  channels->stats = stats;
  channels->done = done;
  channels->timeout_ms = timeout_ms;
  ev_timer_init(&channels->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
  channels->tick.data = channels;
  return channels;
}

void channels_destroy(struct channels *channels) {
  if (!channels)
    return;
  channels->is_ending = true;
  while (channels->all) {
    struct channel *channel = channels->all;
    channels->all = channel->next;
    close_channel(channel);
  }
  ev_timer_stop(channels->loop, &channels->tick);
  free(channels);
  ares_library_cleanup();
}
