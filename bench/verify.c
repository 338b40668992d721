#include "verify.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

struct wrong {
  char *target, *name, *expected, *got;
};

struct verify {
  struct verify_entry *entries; /* open addressing, a power of two, at most half full */
  size_t count, size;
  pthread_mutex_t lock; /* of the wrong ones */
  size_t wrong_count;
  struct wrong wrong[VERIFY_SHOWN_MAX];
};

/* Lower case without a final dot; 0 for what is too long to be in the table. */
static size_t fold(char folded[256], const char *name, size_t length) {
  if (length > 0 && name[length - 1] == '.')
    length--;
  if (length > 255)
    return 0;
  for (size_t i = 0; i < length; i++)
    folded[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
  return length;
}

/* The place of a name in the table, taken or free. */
static struct verify_entry *place_of(const struct verify *verify, const char *name, size_t length) {
  size_t at = XXH3_64bits(name, length) & (verify->size - 1);
  while (verify->entries[at].name &&
         (strncmp(verify->entries[at].name, name, length) != 0 || verify->entries[at].name[length]))
    at = (at + 1) & (verify->size - 1);
  return &verify->entries[at];
}

static bool make_room(struct verify *verify) {
  if (verify->count * 2 < verify->size)
    return true;
  struct verify old = *verify;
  verify->size = old.size ? old.size * 2 : 1024;
  verify->entries = calloc(verify->size, sizeof *verify->entries);
  if (!verify->entries) {
    *verify = old;
    return false;
  }
  for (size_t i = 0; i < old.size; i++)
    if (old.entries[i].name)
      *place_of(verify, old.entries[i].name, strlen(old.entries[i].name)) = old.entries[i];
  free(old.entries);
  return true;
}

/* What is wrong with a line, or NULL. */
static const char *read_line(struct verify *verify, char *line) {
  line[strcspn(line, "\r\n")] = '\0';
  if (!line[0] || line[0] == '#')
    return NULL;
  char *routes = strchr(line, '\t');
  if (!routes || routes == line || !isupper((unsigned char)routes[1]))
    return "not name<TAB>KIND[ preference host]...";
  char folded[256];
  size_t length = fold(folded, line, (size_t)(routes - line));
  if (length == 0)
    return "not a name";
  if (!make_room(verify))
    return "out of memory";
  struct verify_entry *entry = place_of(verify, folded, length);
  if (entry->name)
    return "the name stands here twice";
  char *name = strndup(folded, length), *copy = strdup(routes + 1);
  if (!name || !copy) {
    free(name);
    free(copy);
    return "out of memory";
  }
  *entry = (struct verify_entry){name, copy};
  verify->count++;
  return NULL;
}

struct verify *verify_load(const char *path, char error[VERIFY_ERROR_SIZE]) {
  FILE *file = fopen(path, "re");
  struct verify *verify = calloc(1, sizeof *verify);
  if (!file || !verify) {
    snprintf(error, VERIFY_ERROR_SIZE, "%s: %s", path, strerror(file ? ENOMEM : errno));
    if (file)
      fclose(file);
    free(verify);
    return NULL;
  }
  pthread_mutex_init(&verify->lock, NULL);
  char *line = NULL;
  const char *wrong = NULL;
  size_t size = 0, number = 0;
  while (!wrong && getline(&line, &size, file) >= 0) {
    number++;
    wrong = read_line(verify, line);
  }
  if (wrong)
    snprintf(error, VERIFY_ERROR_SIZE, "%s:%zu: %s", path, number, wrong);
  else if (verify->count == 0)
    snprintf(error, VERIFY_ERROR_SIZE, "%s: there is nothing to verify in it", path);
  free(line);
  fclose(file);
  if (!wrong && verify->count > 0)
    return verify;
  verify_destroy(verify);
  return NULL;
}

void verify_destroy(struct verify *verify) {
  if (!verify)
    return;
  for (size_t i = 0; i < verify->size; i++) {
    free((void *)(uintptr_t)verify->entries[i].name);
    free((void *)(uintptr_t)verify->entries[i].routes);
  }
  for (size_t i = 0; i < verify->wrong_count; i++) {
    free(verify->wrong[i].target);
    free(verify->wrong[i].name);
    free(verify->wrong[i].expected);
    free(verify->wrong[i].got);
  }
  free(verify->entries);
  pthread_mutex_destroy(&verify->lock);
  free(verify);
}

const struct verify_entry *verify_find(const struct verify *verify, const char *name, size_t length) {
  char folded[256];
  length = fold(folded, name, length);
  if (length == 0)
    return NULL;
  const struct verify_entry *entry = place_of(verify, folded, length);
  return entry->name ? entry : NULL;
}

/* strdup may have failed: then there is one answer less to show. */
static const char *shown(const char *text) { return text ? text : "?"; }

/* One wrong answer for each name and target says enough. */
static bool is_kept(const struct verify *verify, const struct verify_entry *entry, const char *target) {
  for (size_t i = 0; i < verify->wrong_count; i++)
    if (strcmp(shown(verify->wrong[i].name), entry->name) == 0 &&
        strcmp(shown(verify->wrong[i].target), target) == 0)
      return true;
  return false;
}

bool verify_check(struct verify *verify, const struct verify_entry *entry, const char *target,
                  const char *routes) {
  if (strcmp(entry->routes, routes) == 0)
    return true;
  pthread_mutex_lock(&verify->lock);
  if (verify->wrong_count < VERIFY_SHOWN_MAX && !is_kept(verify, entry, target))
    verify->wrong[verify->wrong_count++] =
        (struct wrong){strdup(target), strdup(entry->name), strdup(entry->routes), strdup(routes)};
  pthread_mutex_unlock(&verify->lock);
  return false;
}

void verify_print_wrong(struct verify *verify, FILE *out) {
  pthread_mutex_lock(&verify->lock);
  for (size_t i = 0; i < verify->wrong_count; i++) {
    const struct wrong *wrong = &verify->wrong[i];
    fprintf(out, "wrong answer from %s for %s\n  expected: %s\n  got:      %s\n", shown(wrong->target),
            shown(wrong->name), shown(wrong->expected), shown(wrong->got));
  }
  pthread_mutex_unlock(&verify->lock);
}
