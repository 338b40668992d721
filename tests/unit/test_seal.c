#include "cmocka_compat.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "store/seal.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "ffeeddccbbaa99887766554433221100FFEEDDCCBBAA99887766554433221100"

static char folder[] = "/tmp/mxway-test-XXXXXX", path[64], why[SEAL_TEXT_SIZE];

static void write_file(const char *text, size_t length, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, length), length);
  assert_int_equal(fchmod(fd, mode), 0);
  close(fd);
}

static struct seal *make(const char *text) {
  struct seal *seal = NULL;
  write_file(text, strlen(text), 0600);
  if (seal_create(path, why, &seal) != 0)
    fail_msg("%s", why);
  return seal;
}

static bool is_good(const struct seal *seal, const char *context, const char *text,
                    const uint8_t mac[SEAL_BYTES]) {
  return seal_is_good(seal, context, strlen(context), text, strlen(text), mac);
}

static void put(const struct seal *seal, const char *context, const char *text, uint8_t mac[SEAL_BYTES]) {
  seal_make(seal, context, strlen(context), text, strlen(text), mac);
}

/* ---- MACs ---- */

static void a_seal_is_blake2b_with_the_key(void **state) {
  (void)state;
  /* By Python: hashlib.blake2b(pack("<Q", 3) + b"key" + b"octets", key=bytes(range(32)), digest_size=32). */
  static const uint8_t expected[SEAL_BYTES] = {
      0x14, 0xf6, 0x3e, 0xa2, 0x8b, 0xdc, 0x4e, 0xa8, 0x74, 0xa2, 0x1e, 0x80, 0x45, 0x63, 0xec, 0xb0,
      0xeb, 0x28, 0x87, 0x96, 0xe9, 0x7b, 0xea, 0x0a, 0x62, 0xc2, 0x03, 0xb3, 0x56, 0x2a, 0x4c, 0x1f};
  uint8_t mac[SEAL_BYTES];
  struct seal *seal = make(KEY_1);
  put(seal, "key", "octets", mac);
  assert_memory_equal(mac, expected, SEAL_BYTES);
  assert_true(is_good(seal, "key", "octets", mac));
  seal_destroy(seal);
}

static void a_seal_is_of_its_context_and_octets_alone(void **state) {
  (void)state;
  uint8_t mac[SEAL_BYTES];
  struct seal *seal = make(KEY_1);
  put(seal, "context", "octets", mac);
  assert_true(is_good(seal, "context", "octets", mac));
  assert_false(is_good(seal, "context", "octet", mac));
  assert_false(is_good(seal, "context", "octetss", mac));
  assert_false(is_good(seal, "contex", "octets", mac));
  assert_false(is_good(seal, "contexto", "ctets", mac)); /* the same octets, parted elsewhere */
  assert_false(is_good(seal, "", "contextoctets", mac));
  put(seal, "", "", mac);
  assert_true(is_good(seal, "", "", mac));
  seal_destroy(seal);
}

static void every_changed_bit_of_a_seal_is_seen(void **state) {
  (void)state;
  uint8_t mac[SEAL_BYTES];
  struct seal *seal = make(KEY_1 "\n" KEY_2);
  put(seal, "context", "octets", mac);
  for (size_t bit = 0; bit < 8 * SEAL_BYTES; bit++) {
    mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_false(is_good(seal, "context", "octets", mac));
    mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  seal_destroy(seal);
}

static void the_first_key_makes_seals_and_each_checks_them(void **state) {
  (void)state;
  uint8_t of_old[SEAL_BYTES], of_new[SEAL_BYTES], of_both[SEAL_BYTES];
  struct seal *old = make(KEY_1 "\n"), *new = make(KEY_2 "\n"), *both = make(KEY_2 "\n" KEY_1 "\n");
  put(old, "c", "octets", of_old);
  put(new, "c", "octets", of_new);
  put(both, "c", "octets", of_both);
  assert_memory_equal(of_both, of_new, SEAL_BYTES);
  assert_true(is_good(both, "c", "octets", of_old));
  assert_true(is_good(both, "c", "octets", of_new));
  assert_false(is_good(old, "c", "octets", of_new));
  assert_false(is_good(new, "c", "octets", of_old));
  seal_destroy(old);
  seal_destroy(new);
  seal_destroy(both);
}

/* ---- the file ---- */

static void spaces_comments_and_empty_lines_are_skipped(void **state) {
  (void)state;
  uint8_t mac[SEAL_BYTES], same[SEAL_BYTES];
  struct seal *plain = make(KEY_1), *dressed = make("# of 2026\r\n\n \t" KEY_1 " \r\n#" KEY_2 "\n\n");
  put(plain, "c", "octets", mac);
  put(dressed, "c", "octets", same);
  assert_memory_equal(mac, same, SEAL_BYTES);
  struct seal *other = make(KEY_2);
  put(other, "c", "octets", mac);
  assert_false(is_good(dressed, "c", "octets", mac));
  seal_destroy(plain);
  seal_destroy(dressed);
  seal_destroy(other);
}

/* Refused with ERR_CONFIG and a sentence that has `part`, and nothing of the file in it. */
static void refuse(const char *part) {
  struct seal *seal = (struct seal *)&seal;
  assert_int_equal(seal_create(path, why, &seal), ERR_CONFIG);
  assert_ptr_equal(seal, &seal);
  if (!strstr(why, part))
    fail_msg("%s: expected to read of: %s", why, part);
  assert_null(strstr(why, "0102"));
}

static void refuse_text(const char *text, const char *part) {
  write_file(text, strlen(text), 0600);
  refuse(part);
}

static void what_is_no_key_is_refused(void **state) {
  (void)state;
  refuse_text("", "has no key");
  refuse_text("# a key will come\n\n", "has no key");
  refuse_text("secret\n", "line 1 is no key");
  refuse_text(KEY_1 "\n\n" KEY_1 "0\n", "line 3 is no key");
  refuse_text("00" KEY_1 "\n", "line 1 is no key");
  refuse_text(" 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", "line 1 is no key");
  refuse_text("g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", "line 1 is no key");
  refuse_text("0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00\n", "line 1 is no key");
  refuse_text(KEY_1 " " KEY_2 "\n", "line 1 is no key");
  refuse_text(KEY_1 "\n" KEY_2 "\n" KEY_1 "\n" KEY_2 "\n" KEY_1, "more than 4 keys");
  static const char with_nul[] = KEY_1 "\0\n";
  write_file(with_nul, sizeof(with_nul) - 1, 0600);
  refuse("line 1 is no key");
  static char long_text[5000];
  memset(long_text, '\n', sizeof(long_text));
  memcpy(long_text, KEY_1, sizeof(KEY_1) - 1);
  write_file(long_text, 4097, 0600);
  refuse("too long");
  write_file(long_text, 4096, 0600);
  struct seal *seal;
  assert_int_equal(seal_create(path, why, &seal), 0);
  seal_destroy(seal);
}

static void a_file_that_others_have_access_to_is_refused(void **state) {
  (void)state;
  struct seal *seal;
  for (mode_t others = 1; others <= 7; others++) {
    write_file(KEY_1, strlen(KEY_1), 0600 | others);
    refuse("others than its owner and group");
  }
  write_file(KEY_1, strlen(KEY_1), 0640);
  assert_int_equal(seal_create(path, why, &seal), 0);
  seal_destroy(seal);
}

static void what_is_no_file_is_refused(void **state) {
  (void)state;
  unlink(path);
  refuse("No such file");
  assert_int_equal(mkfifo(path, 0600), 0); /* nor is it waited for */
  refuse("not a regular file");
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  refuse("not a regular file");
  rmdir(path);
}

/* ---- memory ---- */

/* How a child ends that does `what` with a seal. */
static int end_of_child(const struct seal *seal, void (*what)(const struct seal *seal)) {
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    what(seal);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void change(const struct seal *seal) { ((volatile char *)seal)[0] ^= 1; }

static void read_it(const struct seal *seal) { (void)((const volatile char *)seal)[0]; }

static void keys_cannot_be_written_over(void **state) {
  (void)state;
  struct seal *seal = make(KEY_1);
  int status = end_of_child(seal, read_it);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  status = end_of_child(seal, change); /* a sanitizer ends it in its own way */
  assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  seal_destroy(seal);
}

/* Whether the octets whose complements are at `mirrored` stand anywhere in memory that this process can read.
 * Huge areas, which are a sanitizer's own, are left out. */
static bool is_in_memory(const uint8_t *mirrored, size_t length) {
  static uint8_t piece[1 << 16];
  char line[512];
  bool is_found = false;
  FILE *maps = fopen("/proc/self/maps", "re");
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  assert_non_null(maps);
  assert_true(memory >= 0);
  while (!is_found && fgets(line, sizeof(line), maps)) {
    unsigned long from, to;
    char access;
    if (sscanf(line, "%lx-%lx %c", &from, &to, &access) != 3 || access != 'r' || to - from > 64 << 20)
      continue;
    for (unsigned long at = from; at < to && !is_found; at += sizeof(piece) - length) {
      ssize_t got = pread(memory, piece, sizeof(piece), (off_t)at);
      for (ssize_t i = 0; i + (ssize_t)length <= got && !is_found; i++) {
        size_t same = 0;
        while (same < length && (piece[(size_t)i + same] ^ mirrored[same]) == 0xff)
          same++;
        is_found = same == length;
      }
    }
  }
  memset(piece, 0, sizeof(piece));
  close(memory);
  fclose(maps);
  return is_found;
}

enum { MIRRORED_BYTES = 16 };

/* Writes the key whose first octets are the complements of those at `mirrored`, and the rest 0, so that no
 * part of it is in memory but one digit. */
static void write_mirrored(const uint8_t *mirrored) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  for (size_t i = 0; i < 64; i++) {
    unsigned octet = i / 2 < MIRRORED_BYTES ? (uint8_t)~mirrored[i / 2] : 0;
    const char digit = "0123456789abcdef"[i % 2 ? octet & 15 : octet >> 4];
    assert_int_equal(write(fd, &digit, 1), 1);
  }
  close(fd);
}

static void nothing_of_a_key_is_left_behind(void **state) {
  (void)state;
  static const uint8_t mirrored[MIRRORED_BYTES] = {0x3c, 0x91, 0x5e, 0xd2, 0x07, 0x68, 0xbf, 0x14,
                                                   0xa9, 0xe3, 0x46, 0x7d, 0x0b, 0xf8, 0x25, 0x9a};
  uint8_t mac[SEAL_BYTES], mirrored_digits[MIRRORED_BYTES];
  struct seal *seal;
  for (size_t i = 0; i < MIRRORED_BYTES; i++) {
    unsigned octet = (uint8_t)~mirrored[i / 2];
    mirrored_digits[i] = (uint8_t) ~"0123456789abcdef"[i % 2 ? octet & 15 : octet >> 4];
  }
  write_mirrored(mirrored);
  assert_int_equal(seal_create(path, why, &seal), 0);
  put(seal, "context", "octets", mac);
  assert_true(is_good(seal, "context", "octets", mac));
  assert_true(is_in_memory(mirrored, MIRRORED_BYTES)); /* it would be found */
  assert_false(is_in_memory(mirrored_digits, MIRRORED_BYTES));
  seal_destroy(seal);
  assert_false(is_in_memory(mirrored, MIRRORED_BYTES));
}

static int set_up(void **state) {
  (void)state;
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof(path), "%s/key", folder);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unlink(path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_seal_is_blake2b_with_the_key),
      cmocka_unit_test(a_seal_is_of_its_context_and_octets_alone),
      cmocka_unit_test(every_changed_bit_of_a_seal_is_seen),
      cmocka_unit_test(the_first_key_makes_seals_and_each_checks_them),
      cmocka_unit_test(spaces_comments_and_empty_lines_are_skipped),
      cmocka_unit_test(what_is_no_key_is_refused),
      cmocka_unit_test(a_file_that_others_have_access_to_is_refused),
      cmocka_unit_test(what_is_no_file_is_refused),
      cmocka_unit_test(keys_cannot_be_written_over),
      cmocka_unit_test(nothing_of_a_key_is_left_behind),
  };
  return cmocka_run_group_tests_name("seal", tests, set_up, tear_down);
}
