#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/error.h"
#include "base/hostname.h"
#include "loop_until.h"

enum { PORT = 6379 };

/* ---- the system's resolver, which does as it is told ---- */

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool hangs;
  int code; /* what getaddrinfo returns */
  size_t count;
  const char *addresses[12];
  char asked[64];
  int waiting;
} resolver = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static atomic_int ended; /* threads that have left it */

static struct addrinfo *make_info(const char *text, struct addrinfo *next) {
  struct addrinfo *info = calloc(1, sizeof(*info));
  struct sockaddr_storage *address = calloc(1, sizeof(*address));
  assert_true(info && address);
  info->ai_next = next;
  info->ai_addr = (struct sockaddr *)address;
  if (address_parse(text, 1, address)) {
    info->ai_family = address->ss_family;
    info->ai_addrlen =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  } else {
    info->ai_family = AF_UNIX;
    info->ai_addrlen = 2;
  }
  return info;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  (void)service;
  pthread_mutex_lock(&resolver.mutex);
  assert_int_equal(hints->ai_socktype, SOCK_STREAM);
  snprintf(resolver.asked, sizeof(resolver.asked), "%s", node);
  resolver.waiting++;
  while (resolver.hangs)
    pthread_cond_wait(&resolver.changed, &resolver.mutex);
  resolver.waiting--;
  int code = resolver.code;
  *found = NULL;
  for (size_t i = resolver.count; code == 0 && i > 0; i--)
    *found = make_info(resolver.addresses[i - 1], *found);
  pthread_mutex_unlock(&resolver.mutex);
  atomic_fetch_add(&ended, 1);
  return code;
}

void freeaddrinfo(struct addrinfo *info) {
  while (info) {
    struct addrinfo *next = info->ai_next;
    free(info->ai_addr);
    free(info);
    info = next;
  }
}

static void hang(bool hangs) {
  pthread_mutex_lock(&resolver.mutex);
  resolver.hangs = hangs;
  pthread_cond_broadcast(&resolver.changed);
  pthread_mutex_unlock(&resolver.mutex);
}

static int waiting(void) {
  pthread_mutex_lock(&resolver.mutex);
  int count = resolver.waiting;
  pthread_mutex_unlock(&resolver.mutex);
  return count;
}

/* ---- who asks ---- */

struct fixture {
  struct ev_loop *loop;
  struct hostname *hostname;
  int told;
  size_t count;
  struct sockaddr_storage addresses[HOSTNAME_ADDRESSES_MAX];
  char reason[100];
};

static void on_done(void *context, const struct sockaddr_storage *addresses, size_t count,
                    const char *reason) {
  struct fixture *fixture = context;
  fixture->told++;
  fixture->count = count;
  memcpy(fixture->addresses, addresses, count * sizeof(addresses[0]));
  snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason ? reason : "");
}

static int open_loop(void **state) {
  static struct fixture fixture;
  fixture = (struct fixture){.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
  resolver.hangs = false;
  resolver.code = 0;
  resolver.count = 0;
  *state = &fixture;
  return fixture.loop ? 0 : -1;
}

static int close_loop(void **state) {
  struct fixture *fixture = *state;
  ev_loop_destroy(fixture->loop);
  return 0;
}

static int ask(struct fixture *fixture) {
  return hostname_ask(fixture->loop, "redis.test", PORT, on_done, fixture, &fixture->hostname);
}

static void addresses_come_in_their_order_with_the_port(void **state) {
  struct fixture *fixture = *state;
  char text[ADDRESS_TEXT_SIZE];
  resolver.addresses[0] = "2001:db8::1";
  resolver.addresses[1] = "192.0.2.1";
  resolver.count = 2;
  assert_int_equal(ask(fixture), 0);
  assert_int_equal(fixture->told, 0);
  LOOP_UNTIL(fixture->loop, fixture->told);
  assert_string_equal(resolver.asked, "redis.test");
  assert_int_equal(fixture->count, 2);
  assert_string_equal(fixture->reason, "");
  assert_string_equal(address_text(&fixture->addresses[0], text), "[2001:db8::1]:6379");
  assert_string_equal(address_text(&fixture->addresses[1], text), "192.0.2.1:6379");
  loop_settle(fixture->loop);
  assert_int_equal(fixture->told, 1);
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT)); /* nothing of it is left in the loop */
}

static void a_failure_has_its_reason(void **state) {
  struct fixture *fixture = *state;
  resolver.code = EAI_NONAME;
  assert_int_equal(ask(fixture), 0);
  LOOP_UNTIL(fixture->loop, fixture->told);
  assert_int_equal(fixture->count, 0);
  assert_string_equal(fixture->reason, gai_strerror(EAI_NONAME));
}

static void addresses_of_other_kinds_are_none(void **state) {
  struct fixture *fixture = *state;
  resolver.addresses[0] = "/a/socket";
  resolver.count = 1;
  assert_int_equal(ask(fixture), 0);
  LOOP_UNTIL(fixture->loop, fixture->told);
  assert_int_equal(fixture->count, 0);
  assert_string_equal(fixture->reason, "no address");
}

static void at_most_eight_addresses_are_taken(void **state) {
  struct fixture *fixture = *state;
  resolver.count = 12;
  for (size_t i = 0; i < resolver.count; i++)
    resolver.addresses[i] = "192.0.2.1";
  assert_int_equal(ask(fixture), 0);
  LOOP_UNTIL(fixture->loop, fixture->told);
  assert_int_equal(fixture->count, HOSTNAME_ADDRESSES_MAX);
}

static void a_resolver_that_hangs_holds_up_neither_loop_nor_cancel(void **state) {
  struct fixture *fixture = *state;
  hang(true);
  int before = atomic_load(&ended);
  assert_int_equal(ask(fixture), 0);
  LOOP_UNTIL(fixture->loop, waiting() == 1);
  hostname_cancel(fixture->hostname); /* hangs here, or not */
  hang(false);
  LOOP_UNTIL(fixture->loop, atomic_load(&ended) == before + 1);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->told, 0);
}

static void a_cancelled_question_outlives_its_loop(void **state) {
  struct fixture *fixture = *state;
  hang(true);
  int before = atomic_load(&ended);
  struct ev_loop *other = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_int_equal(hostname_ask(other, "redis.test", PORT, on_done, fixture, &fixture->hostname), 0);
  LOOP_UNTIL(fixture->loop, waiting() == 1);
  hostname_cancel(fixture->hostname);
  ev_loop_destroy(other);
  hang(false);
  LOOP_UNTIL(fixture->loop, atomic_load(&ended) == before + 1);
}

static void what_is_over_but_untold_can_be_cancelled(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 50; i++) {
    int before = atomic_load(&ended);
    assert_int_equal(ask(fixture), 0);
    while (atomic_load(&ended) == before)
      sched_yield();
    hostname_cancel(fixture->hostname);
    loop_settle(fixture->loop);
  }
  assert_int_equal(fixture->told, 0);
}

static void threads_that_hang_are_bounded(void **state) {
  struct fixture *fixture = *state;
  hang(true);
  int before = atomic_load(&ended), status = 0, count = 0;
  for (; count <= HOSTNAME_THREADS_MAX && (status = ask(fixture)) == 0; count++)
    hostname_cancel(fixture->hostname);
  assert_int_equal(status, ERR_OVERLOAD);
  assert_in_range(count, HOSTNAME_THREADS_MAX / 2, HOSTNAME_THREADS_MAX);
  hang(false);
  LOOP_UNTIL(fixture->loop, atomic_load(&ended) == before + count);
  LOOP_UNTIL(fixture->loop, ask(fixture) == 0); /* there is room again */
  LOOP_UNTIL(fixture->loop, fixture->told == 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
  const struct CMUnitTest tests[] = {
      TEST(addresses_come_in_their_order_with_the_port),
      TEST(a_failure_has_its_reason),
      TEST(addresses_of_other_kinds_are_none),
      TEST(at_most_eight_addresses_are_taken),
      TEST(a_resolver_that_hangs_holds_up_neither_loop_nor_cancel),
      TEST(a_cancelled_question_outlives_its_loop),
      TEST(what_is_over_but_untold_can_be_cancelled),
      TEST(threads_that_hang_are_bounded),
  };
  return cmocka_run_group_tests_name("hostname", tests, NULL, NULL);
}
