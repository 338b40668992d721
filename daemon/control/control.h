/*
 * control: the control socket, for who runs the daemon.
 *
 * Speaks the messages of control.proto on a socket of its own; what they ask for is done by job. All of that
 * belongs to the resolver's thread, so that is where it is served, in the turns of its loop: a request is a
 * job, a turn runs one job for at most CONTROL_SLICE_US, and between turns the loop does what else there is.
 * A connection has one job at a time, and the jobs of several take turns.
 * What does not fit into the loop's memory is asked for piece by piece (dump, load), so that a client that
 * does not read keeps nobody but itself.
 *
 * What cannot be understood is answered with a sentence. One thread: the cache's writer.
 */
#ifndef MXWAY_DAEMON_CONTROL_H
#define MXWAY_DAEMON_CONTROL_H

#include <ev.h>
#include <stdint.h>

#include "control/job.h"

enum {
  CONTROL_CONNECTIONS_MAX = 16,
  CONTROL_SLICE_US = 300, /* a step begun within it may take as long again */
  CONTROL_WAIT_MS = 2,    /* between turns where all jobs wait */
};

struct control;

/* Serves on `listen_fd` (non-blocking, lent) in `loop`. `served` is copied, what it names lent. Returns NULL
 * without memory. */
struct control *control_create(struct ev_loop *loop, int listen_fd, const struct job_served *served);

/* Closes all connections. Before the loop, the cache and the resolver are destroyed. */
void control_destroy(struct control *control);

#endif
