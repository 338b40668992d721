#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int refuse(char reason[SECRET_REASON_SIZE], const char *path, const char *why) {
  snprintf(reason, SECRET_REASON_SIZE, "%.120s: %s", path, why);
  return ERR_CONFIG;
}

/* Reads up to `size` octets; -1 with errno. */
static ssize_t read_all(int file, char *bytes, size_t size) {
  size_t length = 0;
  while (length < size) {
    ssize_t got = read(file, bytes + length, size - length);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    length += (size_t)got;
  }
  return (ssize_t)length;
}

static int check_file(int file, const char *path, char reason[SECRET_REASON_SIZE]) {
  struct stat about;
  if (fstat(file, &about) != 0)
    return refuse(reason, path, strerror(errno));
  if (!S_ISREG(about.st_mode))
    return refuse(reason, path, "is not a regular file");
  if (about.st_mode & S_IRWXO)
    return refuse(reason, path,
                  "holds a secret, and others than its owner and group may use it: chmod o= takes that away");
  return 0;
}

/* What is a line in `bytes`, with its end taken off. */
static int check_line(char *bytes, size_t length, const char *path, char reason[SECRET_REASON_SIZE]) {
  if (length > 0 && bytes[length - 1] == '\n')
    length--;
  if (length > 0 && bytes[length - 1] == '\r')
    length--;
  if (length == 0)
    return refuse(reason, path, "is empty");
  if (length >= SECRET_SIZE)
    return refuse(reason, path, "is too long: expected a line of at most 512 octets");
  bytes[length] = '\0';
  if (strlen(bytes) != length || strpbrk(bytes, "\r\n"))
    return refuse(reason, path, "expected one line of text");
  return 0;
}

int secret_open(const char *path, char reason[SECRET_REASON_SIZE]) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0)
    return refuse(reason, path, strerror(errno));
  int status = check_file(file, path, reason);
  if (status == 0)
    return file;
  close(file);
  return status;
}

int secret_read(const char *path, char secret[SECRET_SIZE], char reason[SECRET_REASON_SIZE]) {
  char bytes[SECRET_SIZE + 3]; /* with the end of the line, and one more that tells that there is more */
  int file = secret_open(path, reason);
  if (file < 0)
    return file;
  ssize_t length = read_all(file, bytes, sizeof(bytes) - 1);
  int status =
      length < 0 ? refuse(reason, path, strerror(errno)) : check_line(bytes, (size_t)length, path, reason);
  close(file);
  if (status == 0)
    memcpy(secret, bytes, strlen(bytes) + 1);
  secret_wipe(bytes, sizeof(bytes));
  return status;
}

void secret_wipe(char *secret, size_t size) { explicit_bzero(secret, size); }
