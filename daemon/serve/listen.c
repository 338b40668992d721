#include "serve/listen.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

enum { BACKLOG = 4096 };

static int complain(const char *path, const char *what) {
  log_error("cannot listen on %s: %s: %s", path, what, strerror(errno));
  return ERR_SYSTEM;
}

/* Whether a server answers at `address`. */
static bool is_alive(const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return true; /* cannot tell: leave it alone */
  int connected = connect(fd, (const struct sockaddr *)address, sizeof(*address));
  bool alive = connected == 0 || errno != ECONNREFUSED; /* EAGAIN: its backlog is full */
  close(fd);
  return alive;
}

/* Clears the way: removes a socket that nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *address) {
  const char *path = address->sun_path;
  struct stat status;
  if (lstat(path, &status) != 0)
    return errno == ENOENT ? 0 : complain(path, "stat");
  if (!S_ISSOCK(status.st_mode)) {
    log_error(
        "cannot listen on %s: a file that is not a socket is in the way; remove it or configure another "
        "path",
        path);
    return ERR_SYSTEM;
  }
  if (is_alive(address)) {
    log_error("cannot listen on %s: another server is answering there; stop it or configure another path",
              path);
    return ERR_IN_USE;
  }
  log_notice("replacing the stale socket %s", path);
  return unlink(path) == 0 ? 0 : complain(path, "unlink");
}

/* Makes the last directory of `path` where it is missing, as /run/mxway is after a boot. */
static int make_directory(const char *path) {
  char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
  memcpy(copy, path, strlen(path) + 1);
  const char *directory = dirname(copy);
  if (mkdir(directory, 0755) == 0 || errno == EEXIST)
    return 0;
  log_error("cannot listen on %s: cannot make the directory %s: %s", path, directory, strerror(errno));
  return ERR_SYSTEM;
}

/* Binds without a moment at which the file has wider permissions than `mode`. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, unsigned mode) {
  mode_t before = umask(0777 & ~mode);
  int bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
  umask(before);
  if (bound != 0)
    return complain(address->sun_path, "bind");
  if (chmod(address->sun_path, mode) != 0)
    return complain(address->sun_path, "chmod");
  return 0;
}

int listen_start(const char *path, unsigned mode, int *listen_fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return complain(path, "path");
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  int error = make_directory(path);
  if (error == 0)
    error = remove_stale(&address);
  if (error != 0)
    return error;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return complain(path, "socket");
  error = bind_with_mode(fd, &address, mode);
  if (error == 0 && listen(fd, BACKLOG) != 0)
    error = complain(path, "listen");
  if (error != 0) {
    close(fd);
    return error;
  }
  *listen_fd = fd;
  return 0;
}

void listen_stop(const char *path, int listen_fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, path, strlen(path) + 1);
  close(listen_fd);
  struct stat status;
  if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) && !is_alive(&address))
    unlink(path);
}
