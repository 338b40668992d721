#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "serve/listen.h"

static char folder[32];
static char path[64];

static int make_folder(void **state) {
  (void)state;
  snprintf(folder, sizeof(folder), "/tmp/mxway-test-XXXXXX");
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof(path), "%s/s", folder);
  return 0;
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *where) {
  (void)status, (void)kind, (void)where;
  return remove(name);
}

static int remove_folder(void **state) {
  (void)state;
  return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int try_connect(const char *to) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", to);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
  close(fd);
  return connected;
}

/* A socket file bound by somebody else; listening only on request. */
static int bind_other(const char *at, int type) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", at);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
  return fd;
}

static int exists(const char *name) {
  struct stat status;
  return lstat(name, &status) == 0;
}

static ino_t inode(const char *name) {
  struct stat status;
  assert_return_code(lstat(name, &status), errno);
  return status.st_ino;
}

static unsigned mode_of(const char *name) {
  struct stat status;
  assert_return_code(lstat(name, &status), errno);
  return (unsigned)status.st_mode & 07777;
}

static int start(void) {
  int fd = -1;
  assert_int_equal(listen_start(path, 0600, &fd), 0);
  assert_true(fd >= 0);
  return fd;
}

/* A refusal leaves the descriptor alone. */
static int refusal(const char *at) {
  int fd = -77;
  int error = listen_start(at, 0600, &fd);
  assert_int_equal(fd, -77);
  return error;
}

static void clients_can_connect(void **state) {
  (void)state;
  int fd = start();
  assert_true(try_connect(path));
  int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
  assert_return_code(client, errno);
  close(client);
  listen_stop(path, fd);
}

static void the_descriptor_does_not_block_and_is_not_inherited(void **state) {
  (void)state;
  int fd = start();
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_int_equal(accept(fd, NULL, NULL), -1);
  assert_int_equal(errno, EAGAIN);
  listen_stop(path, fd);
}

static void the_mode_is_exact_whatever_the_umask(void **state) {
  (void)state;
  static const mode_t masks[] = {0, 022, 077, 0777};
  static const unsigned modes[] = {0666, 0600, 0660, 0777, 0640};
  for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
    for (size_t k = 0; k < sizeof(modes) / sizeof(modes[0]); k++) {
      int fd;
      mode_t kept = umask(masks[i]);
      int error = listen_start(path, modes[k], &fd);
      mode_t after = umask(kept);
      assert_int_equal(error, 0);
      assert_int_equal(after, masks[i]);
      assert_int_equal(mode_of(path), modes[k]);
      listen_stop(path, fd);
    }
}

static void a_stale_socket_is_replaced(void **state) {
  (void)state;
  close(bind_other(path, SOCK_STREAM));
  assert_true(exists(path));
  int fd = start();
  assert_true(try_connect(path));
  listen_stop(path, fd);
}

static void a_living_socket_is_left_alone(void **state) {
  (void)state;
  int fd = start();
  ino_t before = inode(path);
  assert_int_equal(refusal(path), ERR_IN_USE);
  assert_int_equal(inode(path), before);
  assert_true(try_connect(path));
  listen_stop(path, fd);
}

static void a_living_socket_with_a_full_backlog_is_left_alone(void **state) {
  (void)state;
  int other = bind_other(path, SOCK_STREAM), clients[8];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
  assert_return_code(listen(other, 1), errno);
  for (int i = 0; i < 8; i++) {
    clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect(clients[i], (struct sockaddr *)&address, sizeof(address));
  }
  assert_int_equal(errno, EAGAIN);
  assert_int_equal(refusal(path), ERR_IN_USE);
  assert_true(exists(path));
  for (int i = 0; i < 8; i++)
    close(clients[i]);
  close(other);
}

static void a_living_socket_of_another_type_is_left_alone(void **state) {
  (void)state;
  int other = bind_other(path, SOCK_DGRAM);
  ino_t before = inode(path);
  assert_int_not_equal(refusal(path), 0);
  assert_int_equal(inode(path), before);
  close(other);
}

static void a_regular_file_is_refused_and_untouched(void **state) {
  (void)state;
  char text[16] = "";
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("precious", file);
  fclose(file);
  chmod(path, 0640);
  assert_int_equal(refusal(path), ERR_SYSTEM);
  file = fopen(path, "r");
  assert_non_null(file);
  assert_non_null(fgets(text, sizeof(text), file));
  fclose(file);
  assert_string_equal(text, "precious");
  assert_int_equal(mode_of(path), 0640);
}

static void a_directory_is_refused_and_untouched(void **state) {
  (void)state;
  assert_return_code(mkdir(path, 0750), errno);
  assert_int_equal(refusal(path), ERR_SYSTEM);
  assert_int_equal(mode_of(path), 0750);
}

static void a_symbolic_link_is_refused_wherever_it_leads(void **state) {
  (void)state;
  char target[64], got[64] = "";
  snprintf(target, sizeof(target), "%s/target", folder);
  assert_return_code(symlink(target, path), errno);
  assert_int_equal(refusal(path), ERR_SYSTEM); /* to nothing */
  assert_false(exists(target));
  close(bind_other(target, SOCK_STREAM));
  ino_t before = inode(target);
  assert_int_equal(refusal(path), ERR_SYSTEM); /* to a stale socket */
  assert_int_equal(inode(target), before);
  assert_true(readlink(path, got, sizeof(got) - 1) > 0);
  assert_string_equal(got, target);
}

static void only_the_last_directory_is_made(void **state) {
  (void)state;
  char below[80], deeper[80], made[80];
  int fd;
  snprintf(made, sizeof(made), "%s/a", folder);
  snprintf(below, sizeof(below), "%s/a/s", folder);
  snprintf(deeper, sizeof(deeper), "%s/b/c/s", folder);
  mode_t kept = umask(022);
  assert_int_equal(listen_start(below, 0600, &fd), 0);
  umask(kept);
  assert_int_equal(mode_of(made), 0755);
  assert_true(try_connect(below));
  listen_stop(below, fd);
  assert_int_equal(refusal(deeper), ERR_SYSTEM);
  snprintf(made, sizeof(made), "%s/b", folder);
  assert_false(exists(made));
}

static void a_file_in_the_place_of_the_directory_is_refused(void **state) {
  (void)state;
  char below[80];
  fclose(fopen(path, "w"));
  snprintf(below, sizeof(below), "%s/s", path);
  assert_int_equal(refusal(below), ERR_SYSTEM);
}

static void a_path_without_a_directory_is_taken_as_it_is(void **state) {
  (void)state;
  char *kept = getcwd(NULL, 0);
  int fd;
  assert_non_null(kept);
  assert_return_code(chdir(folder), errno);
  assert_int_equal(listen_start("s", 0600, &fd), 0);
  assert_true(exists(path));
  listen_stop("s", fd);
  assert_false(exists(path));
  assert_return_code(chdir(kept), errno);
  free(kept);
}

static void an_empty_path_is_refused(void **state) {
  (void)state;
  assert_int_equal(refusal(""), ERR_SYSTEM);
}

static void the_longest_path_is_taken_and_a_longer_one_refused(void **state) {
  (void)state;
  char name[200];
  size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
  int fd;
  memset(name, 'x', sizeof(name));
  memcpy(name, path, strlen(path));
  name[most] = '\0';
  assert_int_equal(listen_start(name, 0600, &fd), 0);
  assert_true(exists(name));
  listen_stop(name, fd);
  assert_false(exists(name));
  name[most] = 'x';
  name[most + 1] = '\0';
  assert_int_equal(refusal(name), ERR_SYSTEM);
  assert_false(exists(name));
  name[sizeof(name) - 1] = '\0';
  assert_int_equal(refusal(name), ERR_SYSTEM);
}

static void stopping_closes_and_removes(void **state) {
  (void)state;
  int fd = start();
  listen_stop(path, fd);
  assert_false(exists(path));
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  int again = start(); /* and the path is free */
  listen_stop(path, again);
}

static void stopping_leaves_the_socket_of_a_successor(void **state) {
  (void)state;
  int old = start();
  unlink(path);
  int young = start();
  ino_t before = inode(path);
  listen_stop(path, old);
  assert_int_equal(inode(path), before);
  assert_true(try_connect(path));
  listen_stop(path, young);
  assert_false(exists(path));
}

static void stopping_leaves_a_file_that_took_its_place(void **state) {
  (void)state;
  int fd = start();
  unlink(path);
  fclose(fopen(path, "w"));
  listen_stop(path, fd);
  assert_true(exists(path));
}

static void stopping_without_its_file_is_fine(void **state) {
  (void)state;
  int fd = start();
  unlink(path);
  listen_stop(path, fd);
  assert_false(exists(path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(clients_can_connect),
      TEST(the_descriptor_does_not_block_and_is_not_inherited),
      TEST(the_mode_is_exact_whatever_the_umask),
      TEST(a_stale_socket_is_replaced),
      TEST(a_living_socket_is_left_alone),
      TEST(a_living_socket_with_a_full_backlog_is_left_alone),
      TEST(a_living_socket_of_another_type_is_left_alone),
      TEST(a_regular_file_is_refused_and_untouched),
      TEST(a_directory_is_refused_and_untouched),
      TEST(a_symbolic_link_is_refused_wherever_it_leads),
      TEST(only_the_last_directory_is_made),
      TEST(a_file_in_the_place_of_the_directory_is_refused),
      TEST(a_path_without_a_directory_is_taken_as_it_is),
      TEST(an_empty_path_is_refused),
      TEST(the_longest_path_is_taken_and_a_longer_one_refused),
      TEST(stopping_closes_and_removes),
      TEST(stopping_leaves_the_socket_of_a_successor),
      TEST(stopping_leaves_a_file_that_took_its_place),
      TEST(stopping_without_its_file_is_fine),
  };
  log_set_level(LOG_LEVEL_ERROR);
  return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
