/*
 * mailbox: a queue from any thread to one loop, with a wake-up.
 *
 * Lock-free: senders push on an atomic list, the owner takes the whole list in
 * its loop and gets the messages in the order in which they were sent. A
 * message is the caller's, with a struct mail inside; ownership passes with it.
 */
#ifndef MXWAY_DAEMON_MAILBOX_H
#define MXWAY_DAEMON_MAILBOX_H

#include <ev.h>
#include <stdatomic.h>

struct mail {
  struct mail *next; /* the mailbox's */
};

/* Called in the owner's loop for each message, in order. Takes `mail`. */
typedef void mailbox_fn(void *context, struct mail *mail);

struct mailbox {
  _Atomic(struct mail *) newest;
  ev_async wake;
  struct ev_loop *loop;
  mailbox_fn *deliver;
  void *context;
};

/* Attaches to `loop`, which must not run yet. */
void mailbox_init(struct mailbox *mailbox, struct ev_loop *loop, mailbox_fn *deliver, void *context);

/* Any thread, at any time between init and fini. Takes `mail`. */
void mailbox_send(struct mailbox *mailbox, struct mail *mail);

/* Detaches. Messages still inside are handed to `drop`. No sender may be left. */
void mailbox_fini(struct mailbox *mailbox, mailbox_fn *drop, void *context);

#endif
