#include "cmocka_compat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mailbox.h"

enum { SENDERS = 4, MESSAGES = 5000 };

struct message {
  struct mail mail; /* first: a mail is a message */
  int sender;
  int number;
};

struct box {
  struct ev_loop *loop;
  struct mailbox mailbox;
  int taken;
  int dropped;
  int stop_after; /* breaks the loop then */
  int last[SENDERS];
  bool ordered;
};

static void take(struct box *box, struct mail *mail) {
  struct message *message = (struct message *)mail;
  box->ordered = box->ordered && message->number == box->last[message->sender] + 1;
  box->last[message->sender] = message->number;
  free(message);
}

static void deliver(void *context, struct mail *mail) {
  struct box *box = context;
  take(box, mail);
  if (++box->taken == box->stop_after)
    ev_break(box->loop, EVBREAK_ALL);
}

static void drop(void *context, struct mail *mail) {
  struct box *box = context;
  take(box, mail);
  box->dropped++;
}

static int open_box(void **state) {
  struct box *box = calloc(1, sizeof(*box));
  assert_non_null(box);
  box->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_non_null(box->loop);
  box->ordered = true;
  mailbox_init(&box->mailbox, box->loop, deliver, box);
  *state = box;
  return 0;
}

/* For the tests that end their mailbox themselves. */
static int close_loop(void **state) {
  struct box *box = *state;
  ev_loop_destroy(box->loop);
  free(box);
  return 0;
}

static int close_box(void **state) {
  struct box *box = *state;
  mailbox_fini(&box->mailbox, drop, box);
  return close_loop(state);
}

static void send(struct box *box, int sender, int number) {
  struct message *message = malloc(sizeof(*message));
  assert_non_null(message);
  message->sender = sender;
  message->number = number;
  mailbox_send(&box->mailbox, &message->mail);
}

static void messages_are_delivered_in_the_order_they_were_sent(void **state) {
  struct box *box = *state;
  for (int i = 1; i <= 1000; i++)
    send(box, 0, i);
  assert_int_equal(box->taken, 0);
  ev_run(box->loop, EVRUN_NOWAIT);
  assert_int_equal(box->taken, 1000);
  assert_true(box->ordered);
}

static void a_mailbox_wakes_its_loop_again_after_it_was_emptied(void **state) {
  struct box *box = *state;
  for (int i = 1; i <= 3; i++) {
    send(box, 0, i);
    ev_run(box->loop, EVRUN_NOWAIT);
    assert_int_equal(box->taken, i);
  }
}

static void a_loop_without_mail_is_not_woken(void **state) {
  struct box *box = *state;
  ev_run(box->loop, EVRUN_NOWAIT);
  assert_int_equal(box->taken, 0);
}

struct sender {
  pthread_t thread;
  struct box *box;
  int index;
};

static void *run_sender(void *argument) {
  struct sender *sender = argument;
  for (int i = 1; i <= MESSAGES; i++)
    send(sender->box, sender->index, i);
  return NULL;
}

static void the_order_of_each_of_several_threads_is_kept(void **state) {
  struct box *box = *state;
  struct sender senders[SENDERS];
  box->stop_after = SENDERS * MESSAGES;
  for (int i = 0; i < SENDERS; i++) {
    senders[i].box = box;
    senders[i].index = i;
    assert_int_equal(pthread_create(&senders[i].thread, NULL, run_sender, &senders[i]), 0);
  }
  ev_run(box->loop, 0); /* hangs if a wake-up is lost */
  for (int i = 0; i < SENDERS; i++)
    pthread_join(senders[i].thread, NULL);
  assert_int_equal(box->taken, SENDERS * MESSAGES);
  assert_true(box->ordered);
}

static void mail_left_at_the_end_is_dropped_in_order_and_not_delivered(void **state) {
  struct box *box = *state;
  for (int i = 1; i <= 5; i++)
    send(box, 0, i);
  mailbox_fini(&box->mailbox, drop, box);
  assert_int_equal(box->taken, 0);
  assert_int_equal(box->dropped, 5);
  assert_true(box->ordered);
}

static void an_ended_mailbox_leaves_its_loop_without_watchers(void **state) {
  struct box *box = *state;
  mailbox_fini(&box->mailbox, drop, box);
  assert_int_equal(box->dropped, 0);
  assert_false(ev_run(box->loop, 0)); /* returns at once */
}

static void reply(void *context, struct mail *mail) {
  struct box *box = context;
  int number = ((struct message *)mail)->number;
  deliver(box, mail);
  if (number < 3)
    send(box, 0, number + 1);
}

static void mail_sent_while_delivering_is_delivered_too(void **state) {
  struct box *box = *state;
  box->mailbox.deliver = reply;
  box->stop_after = 3;
  send(box, 0, 1);
  ev_run(box->loop, 0);
  assert_int_equal(box->taken, 3);
  assert_true(box->ordered);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(messages_are_delivered_in_the_order_they_were_sent, open_box,
                                      close_box),
      cmocka_unit_test_setup_teardown(a_mailbox_wakes_its_loop_again_after_it_was_emptied, open_box,
                                      close_box),
      cmocka_unit_test_setup_teardown(a_loop_without_mail_is_not_woken, open_box, close_box),
      cmocka_unit_test_setup_teardown(the_order_of_each_of_several_threads_is_kept, open_box, close_box),
      cmocka_unit_test_setup_teardown(mail_left_at_the_end_is_dropped_in_order_and_not_delivered, open_box,
                                      close_loop),
      cmocka_unit_test_setup_teardown(an_ended_mailbox_leaves_its_loop_without_watchers, open_box,
                                      close_loop),
      cmocka_unit_test_setup_teardown(mail_sent_while_delivering_is_delivered_too, open_box, close_box),
  };
  return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
