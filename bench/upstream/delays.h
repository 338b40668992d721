/*
 * delays: replies that are to leave later, in the order of their time.
 *
 * A binary heap; what is due at the same time leaves in the order it came. At most DELAYS_MAX wait. Time is
 * passed in, in nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef MXWAY_BENCH_UPSTREAM_DELAYS_H
#define MXWAY_BENCH_UPSTREAM_DELAYS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DELAYS_MAX = 1 << 19 };

/* Where a reply goes. */
struct peer {
  bool is_tcp;
  uint32_t index;      /* of the UDP socket or the TCP connection */
  uint32_t generation; /* of the connection: its place may have another by then */
  socklen_t address_length;
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address;
};

struct delayed {
  uint64_t due_ns, order;
  struct peer peer;
  size_t length;
  uint8_t bytes[];
};

struct delays;

struct delays *delays_create(void);
void delays_destroy(struct delays *delays);

/* Copies a reply. Returns 0, or -1 where there is no room for it. */
int delays_put(struct delays *delays, uint64_t due_ns, const struct peer *peer, const uint8_t *bytes,
               size_t length);

/* When the next one is due; UINT64_MAX for none. */
uint64_t delays_next_ns(const struct delays *delays);

/* Takes out the next one that is due, for free(); NULL where none is. */
struct delayed *delays_take(struct delays *delays, uint64_t now_ns);

#endif
