#include "base/mailbox.h"

#include <stddef.h>

/* Takes all there is, oldest first. */
static struct mail *take_all(struct mailbox *mailbox) {
  struct mail *newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
  struct mail *oldest = NULL;
  while (newest) {
    struct mail *next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  return oldest;
}

static void deliver_all(struct mailbox *mailbox, mailbox_fn *deliver, void *context) {
  struct mail *mail = take_all(mailbox);
  while (mail) {
    struct mail *next = mail->next; /* `mail` is gone once delivered */
    deliver(context, mail);
    mail = next;
  }
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events) {
  (void)loop, (void)events;
  struct mailbox *mailbox = watcher->data;
  deliver_all(mailbox, mailbox->deliver, mailbox->context);
}

void mailbox_init(struct mailbox *mailbox, struct ev_loop *loop, mailbox_fn *deliver, void *context) {
  atomic_init(&mailbox->newest, NULL);
  mailbox->loop = loop;
  mailbox->deliver = deliver;
  mailbox->context = context;
  ev_async_init(&mailbox->wake, on_wake);
  mailbox->wake.data = mailbox;
  ev_async_start(loop, &mailbox->wake);
}

void mailbox_send(struct mailbox *mailbox, struct mail *mail) {
  struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
  do
    mail->next = newest;
  while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, mail, memory_order_release,
                                                memory_order_relaxed));
  /* Who finds the list empty wakes the owner; the others know that somebody did. */
  if (!newest)
    ev_async_send(mailbox->loop, &mailbox->wake);
}

void mailbox_fini(struct mailbox *mailbox, mailbox_fn *drop, void *context) {
  ev_async_stop(mailbox->loop, &mailbox->wake);
  deliver_all(mailbox, drop, context);
}
