/*
 * client_daemon: the daemon's side of a lookup socket, played by a test.
 *
 * The socket lies in a temporary folder. A test plays in its own thread (the
 * client is asynchronous, or its frames fit into the socket), or in a second one
 * while the client blocks.
 */
#ifndef MXWAY_TESTS_CLIENT_DAEMON_H
#define MXWAY_TESTS_CLIENT_DAEMON_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "mxway.pb-c.h"

struct client_daemon {
  char folder[32];
  char path[64];
  int listener, fd;
  size_t in_length;
  uint8_t in[FRAME_HEADER_MAX + FRAME_REQUEST_MAX + 65536];
  pthread_t thread;
  void (*script)(struct client_daemon *daemon);
  int note; /* for the script */
};

static inline void client_daemon_listen(struct client_daemon *daemon, int backlog) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", daemon->path);
  daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert(bind(daemon->listener, (struct sockaddr *)&address, sizeof address) == 0);
  assert(listen(daemon->listener, backlog) == 0);
}

static inline struct client_daemon *client_daemon_create(void) {
  struct client_daemon *daemon = calloc(1, sizeof *daemon);
  snprintf(daemon->folder, sizeof daemon->folder, "/tmp/mxway-test-XXXXXX");
  assert(mkdtemp(daemon->folder));
  snprintf(daemon->path, sizeof daemon->path, "%s/s", daemon->folder);
  daemon->fd = -1;
  client_daemon_listen(daemon, 16);
  return daemon;
}

static inline void client_daemon_close(struct client_daemon *daemon) {
  if (daemon->fd >= 0)
    close(daemon->fd);
  daemon->fd = -1;
  daemon->in_length = 0;
}

/* No longer listens: the next connect is refused. */
static inline void client_daemon_stop(struct client_daemon *daemon) {
  if (daemon->listener >= 0)
    close(daemon->listener);
  daemon->listener = -1;
  unlink(daemon->path);
}

static inline void client_daemon_destroy(struct client_daemon *daemon) {
  client_daemon_close(daemon);
  client_daemon_stop(daemon);
  rmdir(daemon->folder);
  free(daemon);
}

static inline void client_daemon_accept(struct client_daemon *daemon) {
  client_daemon_close(daemon);
  daemon->fd = accept(daemon->listener, NULL, NULL);
  assert(daemon->fd >= 0);
}

/* Waits for a request; NULL at the end of the connection. Freed with client_daemon_forget. */
static inline Mxway__V1__LookupRequest *client_daemon_read(struct client_daemon *daemon) {
  struct frame frame;
  enum frame_state state;
  while ((state = frame_parse(daemon->in, daemon->in_length, FRAME_REQUEST_MAX, &frame)) != FRAME_COMPLETE) {
    assert(state == FRAME_INCOMPLETE);
    ssize_t got = recv(daemon->fd, daemon->in + daemon->in_length, sizeof daemon->in - daemon->in_length, 0);
    if (got <= 0)
      return NULL;
    daemon->in_length += (size_t)got;
  }
  Mxway__V1__LookupRequest *request = mxway__v1__lookup_request__unpack(NULL, frame.body_length, frame.body);
  assert(request);
  size_t taken = frame.header_length + frame.body_length;
  daemon->in_length -= taken;
  memmove(daemon->in, daemon->in + taken, daemon->in_length);
  return request;
}

static inline void client_daemon_forget(Mxway__V1__LookupRequest *request) {
  mxway__v1__lookup_request__free_unpacked(request, NULL);
}

/* Reads a request and returns its id, 0 at the end. */
static inline uint64_t client_daemon_read_id(struct client_daemon *daemon) {
  Mxway__V1__LookupRequest *request = client_daemon_read(daemon);
  uint64_t id = request ? request->id : 0;
  client_daemon_forget(request);
  return id;
}

/* Waits until all is sent, or the client has gone. */
static inline void client_daemon_send_octets(struct client_daemon *daemon, const void *octets,
                                             size_t length) {
  const uint8_t *at = octets;
  while (length > 0) {
    ssize_t sent = send(daemon->fd, at, length, MSG_NOSIGNAL);
    if (sent < 0)
      return;
    at += sent;
    length -= (size_t)sent;
  }
}

/* Sends `length` octets as one frame, whatever they are. */
static inline void client_daemon_send_body(struct client_daemon *daemon, const void *body, size_t length) {
  uint8_t header[FRAME_HEADER_MAX];
  client_daemon_send_octets(daemon, header, frame_build_header(header, length));
  client_daemon_send_octets(daemon, body, length);
}

/* The frame of a reply, to be freed. */
static inline uint8_t *client_daemon_pack(const Mxway__V1__LookupReply *reply, size_t *length) {
  size_t body_length = mxway__v1__lookup_reply__get_packed_size(reply);
  uint8_t *octets = malloc(FRAME_HEADER_MAX + body_length);
  size_t header_length = frame_build_header(octets, body_length);
  mxway__v1__lookup_reply__pack(reply, octets + header_length);
  *length = header_length + body_length;
  return octets;
}

static inline void client_daemon_send(struct client_daemon *daemon, const Mxway__V1__LookupReply *reply) {
  size_t length;
  uint8_t *octets = client_daemon_pack(reply, &length);
  client_daemon_send_octets(daemon, octets, length);
  free(octets);
}

/* Sends the smallest route, with the id also as its ttl so that the test can tell. */
static inline void client_daemon_answer(struct client_daemon *daemon, uint64_t id) {
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = id;
  reply.verdict = MXWAY__V1__VERDICT__VERDICT_ROUTE;
  reply.ttl = (uint32_t)id;
  client_daemon_send(daemon, &reply);
}

static inline void *client_daemon_main(void *context) {
  struct client_daemon *daemon = context;
  daemon->script(daemon);
  return NULL;
}

/* Plays `script` in a thread of its own, until client_daemon_join. */
static inline void client_daemon_play(struct client_daemon *daemon, void (*script)(struct client_daemon *)) {
  daemon->script = script;
  int failed = pthread_create(&daemon->thread, NULL, client_daemon_main, daemon);
  assert(!failed);
}

static inline void client_daemon_join(struct client_daemon *daemon) { pthread_join(daemon->thread, NULL); }

#endif
