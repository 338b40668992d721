#include "config/resolvconf.h"

#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

void resolvconf_init(struct resolvconf *resolvconf, const struct config *config) {
  *resolvconf = (struct resolvconf){.path = config->resolv_conf, .count = config->upstream_count};
  memcpy(resolvconf->upstreams, config->upstreams, config->upstream_count * sizeof(config->upstreams[0]));
}

/* Whether the file is another than at the last look. */
static bool has_changed(struct resolvconf *resolvconf) {
  struct stat status;
  struct resolvconf_file now = {0}, *seen = &resolvconf->seen;
  if (stat(resolvconf->path, &status) == 0)
    now = (struct resolvconf_file){status.st_dev, status.st_ino, status.st_size, status.st_ctim};
  bool is_same = now.device == seen->device && now.inode == seen->inode && now.size == seen->size &&
                 now.changed.tv_sec == seen->changed.tv_sec && now.changed.tv_nsec == seen->changed.tv_nsec;
  *seen = now;
  return !is_same;
}

static bool has_same_servers(const struct resolvconf *resolvconf, const struct config_upstream *upstreams,
                             size_t count) {
  char old[ADDRESS_TEXT_SIZE], new[ADDRESS_TEXT_SIZE];
  if (count != resolvconf->count)
    return false;
  for (size_t i = 0; i < count; i++)
    if (strcmp(config_upstream_text(&resolvconf->upstreams[i], old),
               config_upstream_text(&upstreams[i], new)) != 0)
      return false;
  return true;
}

static void log_servers(const struct resolvconf *resolvconf) {
  char text[ADDRESS_TEXT_SIZE];
  for (size_t i = 0; i < resolvconf->count; i++)
    log_notice("%s has changed: upstream server %zu of %zu is %s", resolvconf->path, i + 1, resolvconf->count,
               config_upstream_text(&resolvconf->upstreams[i], text));
}

bool resolvconf_look(struct resolvconf *resolvconf) {
  struct config_upstream upstreams[CONFIG_UPSTREAM_MAX];
  if (!has_changed(resolvconf))
    return false;
  size_t count = config_read_resolv_conf(resolvconf->path, upstreams);
  if (count == 0)
    log_warning("%s names no server that can be used: the servers stay what they are", resolvconf->path);
  if (count == 0 || has_same_servers(resolvconf, upstreams, count))
    return false;
  memcpy(resolvconf->upstreams, upstreams, count * sizeof(upstreams[0]));
  resolvconf->count = count;
  log_servers(resolvconf);
  return true;
}
