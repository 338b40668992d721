#include "cmocka_compat.h"

#include <ev.h>
#include <time.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/cluster.h"

static const char question[] = "CLUSTER SLOTS";
static const char *const seeds[] = {"192.0.2.1:7000", "seed.example:7000"};
enum { COUNT = 2 };
static const char a[] = "192.0.2.1:7000", b[] = "192.0.2.2:7000", c[] = "192.0.2.3:7000";

/* The clock of the test, in the place of the room clock: it can be put on. */
static int64_t skew_ms;

int64_t clock_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + skew_ms * 1000;
}

int64_t clock_now_ms(void) { return clock_now_us() / 1000; }

int64_t clock_wall_ms(void) { return clock_now_ms(); }

struct place {
  struct ev_loop *loop;
  struct members *members;
  struct cluster *cluster;
  size_t change_count;
};

static void on_change(void *context) { ((struct place *)context)->change_count++; }

static void on_member(void *context, struct member *member, enum link_state state) {
  cluster_on_member(((struct place *)context)->cluster, member, state);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  fake_link_created_count = 0;
  place->loop = ev_loop_new(EVFLAG_AUTO);
  const struct link_options link = {.max_commands = 10};
  assert_int_equal(members_create(place->loop, &link, on_member, place, &place->members), 0);
  struct link_target targets[COUNT] = {fake_target(seeds[0]), fake_target(seeds[1])};
  assert_int_equal(
      cluster_create(place->loop, place->members, targets, COUNT, on_change, place, &place->cluster), 0);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  cluster_destroy(place->cluster);
  members_destroy(place->members);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

/* Adds slots `first` to `last` of the server `text` to a map. */
static redisReply *add(redisReply *map, int first, int last, const char *text) {
  struct link_target target = fake_target(text);
  return made_add(map, made_range(first, last, made_node(target.host, target.port)));
}

/* a has the lower half, b the upper one. */
static redisReply *halves(void) { return add(add(made_array(), 0, 8191, a), 8192, 16383, b); }

static struct link *find_asked(void) {
  static const char *const all[] = {a, b, c, "seed.example:7000"};
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
    if (fake_link_is_asked(all[i], question))
      return fake_link_at(all[i]);
  return NULL;
}

/* The server that is asked for the map next. */
static struct link *asked(struct place *place) {
  LOOP_UNTIL(place->loop, find_asked());
  return find_asked();
}

/* It answers, when the next question is allowed already. */
static void answer(struct place *place, redisReply *reply) {
  struct link *link = asked(place);
  skew_ms += CLUSTER_PAUSE_LEAST_MS;
  fake_link_answer(link, question, reply);
  loop_settle(place->loop);
}

static const char *text_of(const struct member *member) {
  static char text[LINK_TARGET_TEXT_SIZE];
  return member ? link_target_text(&member->target, text) : "";
}

static const char *owner(const struct place *place, uint16_t slot) {
  return text_of(cluster_get(place->cluster, slot));
}

static struct cluster_view view_of(const struct place *place) {
  struct cluster_view view;
  cluster_look(place->cluster, &view);
  return view;
}

/* Both masters are up, and the map has been asked for since: the next time is far away. */
static void settle(struct place *place) {
  fake_link_up(a);
  answer(place, halves());
  fake_link_up(b);
  cluster_doubt(place->cluster);
  answer(place, halves());
}

static struct member *follow(struct place *place, const char *from, uint16_t slot, const char *text,
                             bool *is_ask) {
  struct link_target target = fake_target(from);
  return cluster_follow(place->cluster, member_get(place->members, &target), slot, text, strlen(text), is_ask,
                        clock_now_ms());
}

static void the_first_seed_that_is_up_tells_who_has_what(void **state) {
  struct place *place = *state;
  assert_int_equal(fake_link_count, COUNT);
  assert_null(cluster_get(place->cluster, 0));
  assert_null(cluster_any(place->cluster));
  fake_link_up("seed.example:7000");
  answer(place, halves());
  assert_string_equal(owner(place, 0), a);
  assert_string_equal(owner(place, 8191), a);
  assert_string_equal(owner(place, 8192), b);
  assert_null(cluster_any(place->cluster)); /* none is up yet */
  fake_link_up(b);
  assert_string_equal(text_of(cluster_any(place->cluster)), b);
}

static void each_master_has_one_link_and_other_seeds_none(void **state) {
  struct place *place = *state;
  settle(place);
  assert_int_equal(fake_link_count, 2);
  assert_int_equal(fake_link_created_count, 3); /* a was a seed already */
  struct link_target target = fake_target(a), seed = fake_target("seed.example:7000");
  assert_true(cluster_has(place->cluster, &target));
  assert_false(cluster_has(place->cluster, &seed));
  struct cluster_view view = view_of(place);
  assert_int_equal(view.node_count, 2);
  assert_int_equal(view.up_count, 2);
  assert_int_equal(view.slot_count, SHARDMAP_SLOTS);
  assert_int_equal(view.latency_us, 84);
  assert_string_equal(view.complaint, "");
}

static void any_is_each_that_is_up_in_turn(void **state) {
  struct place *place = *state;
  settle(place);
  const struct member *one = cluster_any(place->cluster), *other = cluster_any(place->cluster);
  assert_ptr_not_equal(one, other);
  assert_ptr_equal(cluster_any(place->cluster), one);
  fake_link_down(a);
  assert_string_equal(text_of(cluster_any(place->cluster)), b);
  assert_string_equal(text_of(cluster_any(place->cluster)), b);
}

static void what_is_no_map_changes_nothing(void **state) {
  struct place *place = *state;
  settle(place);
  cluster_doubt(place->cluster);
  answer(place, made_error("ERR This instance has cluster support disabled"));
  assert_string_equal(view_of(place).complaint, "ERR This instance has cluster support disabled");
  answer(place, made_array()); /* a server that was reset */
  assert_string_equal(view_of(place).complaint, "a server knows of no slots");
  assert_int_equal(view_of(place).slot_count, SHARDMAP_SLOTS);
  assert_string_equal(owner(place, 16383), b);
}

static void a_server_that_is_gone_from_the_map_is_closed(void **state) {
  struct place *place = *state;
  settle(place);
  cluster_doubt(place->cluster);
  answer(place, add(add(made_array(), 0, 8191, a), 8192, 16383, c));
  assert_null(fake_link_find(b, ""));
  assert_non_null(fake_link_find(c, ""));
  assert_string_equal(owner(place, 16383), c);
}

static void a_server_without_a_host_is_where_we_asked(void **state) {
  struct place *place = *state;
  fake_link_up(a);
  answer(place, made_add(made_array(), made_range(0, 16383, made_node("", 7000))));
  assert_string_equal(owner(place, 5), a);
  assert_int_equal(fake_link_created_count, COUNT);
}

static void a_server_without_a_host_is_at_the_socket_where_we_asked(void **state) {
  struct place *place = *state;
  const struct link_target seed = fake_target("unix:/run/redis.sock");
  cluster_destroy(place->cluster);
  assert_int_equal(cluster_create(place->loop, place->members, &seed, 1, on_change, place, &place->cluster),
                   0);
  fake_link_up("unix:/run/redis.sock");
  LOOP_UNTIL(place->loop, fake_link_is_asked("unix:/run/redis.sock", question));
  fake_link_answer(fake_link_at("unix:/run/redis.sock"), question,
                   made_add(made_array(), made_range(0, 16383, made_node("", 6379))));
  assert_string_equal(owner(place, 5), "unix:/run/redis.sock");
}

/* ---- moves ---- */

static void moved_is_learned_and_the_map_asked_for_again(void **state) {
  struct place *place = *state;
  bool is_ask = true;
  settle(place);
  struct member *there = follow(place, a, 5, "MOVED 5 192.0.2.2:7000", &is_ask);
  assert_string_equal(text_of(there), b);
  assert_false(is_ask);
  assert_string_equal(owner(place, 5), b);
  assert_string_equal(owner(place, 4), a);
  answer(place, halves()); /* whoever told that is behind */
  assert_string_equal(owner(place, 5), a);
}

static void moved_to_a_new_server_begins_its_link(void **state) {
  struct place *place = *state;
  bool is_ask;
  settle(place);
  assert_string_equal(text_of(follow(place, a, 5, "MOVED 5 192.0.2.3:7000", &is_ask)), c);
  assert_string_equal(owner(place, 5), c);
  assert_int_equal(view_of(place).node_count, 3);
  assert_non_null(fake_link_find(c, ""));
}

static void ask_changes_nothing_and_its_server_is_kept(void **state) {
  struct place *place = *state;
  bool is_ask = false;
  settle(place);
  assert_string_equal(text_of(follow(place, a, 5, "ASK 5 192.0.2.3:7000", &is_ask)), c);
  assert_true(is_ask);
  assert_string_equal(owner(place, 5), a);
  cluster_doubt(place->cluster);
  answer(place, halves());
  assert_non_null(fake_link_find(c, "")); /* more of it may follow */
}

static void other_errors_and_other_slots_are_not_followed(void **state) {
  struct place *place = *state;
  bool is_ask;
  settle(place);
  assert_null(follow(place, a, 5, "MOVED 6 192.0.2.3:7000", &is_ask));
  assert_null(follow(place, a, 5, "WRONGTYPE Operation against a key", &is_ask));
  assert_null(follow(place, a, 5, "CLUSTERDOWN The cluster is down", &is_ask));
  assert_int_equal(fake_link_count, 2);
  assert_string_equal(owner(place, 6), a);
}

static void hostile_moves_are_bounded(void **state) {
  struct place *place = *state;
  char text[64];
  bool is_ask;
  settle(place);
  for (int i = 0; i < 1000; i++) {
    snprintf(text, sizeof(text), "%s 5 192.0.2.9:%d", i % 2 ? "ASK" : "MOVED", 1 + i);
    follow(place, a, 5, text, &is_ask);
  }
  assert_in_range(fake_link_count, SHARDMAP_NODES_MAX, MEMBERS_MAX);
  answer(place, halves());
  assert_string_equal(owner(place, 5), a);
}

static void the_map_is_not_asked_for_more_often_than_its_pace(void **state) {
  struct place *place = *state;
  bool is_ask;
  settle(place);
  size_t before = fake_link_at(a)->sent_count + fake_link_at(b)->sent_count;
  int64_t begin_ms = clock_now_ms();
  for (int i = 0; i < 200; i++) {
    follow(place, a, 5, "MOVED 5 192.0.2.2:7000", &is_ask);
    cluster_doubt(place->cluster);
    for (int j = 0; j < 2; j++)
      if (fake_link_is_asked(j ? a : b, question))
        fake_link_answer(fake_link_at(j ? a : b), question, halves());
    loop_settle(place->loop);
  }
  size_t sent = fake_link_at(a)->sent_count + fake_link_at(b)->sent_count - before;
  assert_in_range(sent, 0, 1 + (clock_now_ms() - begin_ms) / CLUSTER_PAUSE_LEAST_MS);
}

/* ---- servers that are away ---- */

static void a_server_that_is_down_has_its_slots_and_the_map_is_asked_for(void **state) {
  struct place *place = *state;
  settle(place);
  size_t changes = place->change_count;
  fake_link_down(b);
  assert_true(place->change_count > changes);
  assert_string_equal(owner(place, 16383), b);
  assert_int_equal(view_of(place).up_count, 1);
  answer(place, add(add(made_array(), 0, 8191, a), 8192, 16383, c)); /* its replica has taken over */
  assert_string_equal(owner(place, 16383), c);
}

static void when_all_are_down_the_seeds_are_in_use_again(void **state) {
  struct place *place = *state;
  settle(place);
  fake_link_down(a);
  fake_link_down(b);
  LOOP_UNTIL(place->loop, fake_link_find("seed.example:7000", ""));
  fake_link_up("seed.example:7000"); /* whose name has the addresses of other servers now */
  answer(place, add(made_array(), 0, 16383, c));
  assert_string_equal(owner(place, 0), c);
  assert_null(fake_link_find("seed.example:7000", ""));
  assert_null(fake_link_find(a, ""));
}

static void servers_that_were_made_up_do_not_keep_the_seeds_out(void **state) {
  struct place *place = *state;
  char text[64];
  bool is_ask;
  settle(place);
  for (int i = 0; i < 1000; i++) {
    snprintf(text, sizeof(text), "ASK 5 192.0.2.9:%d", 1 + i);
    follow(place, a, 5, text, &is_ask);
  }
  assert_in_range(fake_link_count, MEMBERS_MAX, MEMBERS_MAX);
  fake_link_down(a);
  fake_link_down(b);
  loop_settle(place->loop);
  assert_null(fake_link_find("seed.example:7000", "")); /* there is no room for it */
  skew_ms += CLUSTER_GUEST_MS;
  LOOP_UNTIL(place->loop, fake_link_find("seed.example:7000", ""));
}

static void a_question_without_an_answer_is_asked_of_another(void **state) {
  struct place *place = *state;
  settle(place);
  cluster_doubt(place->cluster);
  struct link *first = asked(place);
  fake_link_answer(first, question, NULL);
  struct link *second = asked(place);
  assert_ptr_not_equal(first, second);
  fake_link_answer(second, question, halves());
  assert_string_equal(view_of(place).complaint, "");
}

static void a_question_under_way_ends_with_the_cluster(void **state) {
  struct place *place = *state;
  settle(place);
  cluster_doubt(place->cluster);
  asked(place); /* left to cluster_destroy */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_first_seed_that_is_up_tells_who_has_what),
      TEST(each_master_has_one_link_and_other_seeds_none),
      TEST(any_is_each_that_is_up_in_turn),
      TEST(what_is_no_map_changes_nothing),
      TEST(a_server_that_is_gone_from_the_map_is_closed),
      TEST(a_server_without_a_host_is_where_we_asked),
      TEST(a_server_without_a_host_is_at_the_socket_where_we_asked),
      TEST(moved_is_learned_and_the_map_asked_for_again),
      TEST(moved_to_a_new_server_begins_its_link),
      TEST(ask_changes_nothing_and_its_server_is_kept),
      TEST(other_errors_and_other_slots_are_not_followed),
      TEST(hostile_moves_are_bounded),
      TEST(the_map_is_not_asked_for_more_often_than_its_pace),
      TEST(a_server_that_is_down_has_its_slots_and_the_map_is_asked_for),
      TEST(when_all_are_down_the_seeds_are_in_use_again),
      TEST(servers_that_were_made_up_do_not_keep_the_seeds_out),
      TEST(a_question_without_an_answer_is_asked_of_another),
      TEST(a_question_under_way_ends_with_the_cluster),
  };
  return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
