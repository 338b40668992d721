#include "redis/link_target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char unix_prefix[] = "unix:";

static bool parse_port(const char *text, uint16_t *port) {
  uint32_t number = 0;
  for (const char *digit = text; *digit; digit++) {
    if (!isdigit((unsigned char)*digit))
      return false;
    number = number * 10 + (uint32_t)(*digit - '0');
    if (number > UINT16_MAX)
      return false;
  }
  *port = (uint16_t)number;
  return number > 0;
}

static bool parse_path(const char *text, struct link_target *target) {
  size_t length = strlen(text);
  if (text[0] != '/' || length >= sizeof(target->path))
    return false;
  for (size_t i = 0; i < length; i++)
    if (iscntrl((unsigned char)text[i]))
      return false;
  memcpy(target->path, text, length + 1);
  return true;
}

/* IPv6, with the interface of a link-local address behind a % (RFC 4007 section 11). */
static bool is_v6(const char *host) {
  char address[INET6_ADDRSTRLEN];
  struct in6_addr parsed;
  size_t length = strcspn(host, "%");
  if (length >= sizeof(address) || (host[length] && !host[length + 1]))
    return false;
  memcpy(address, host, length);
  address[length] = '\0';
  for (const char *scope = host + length; *scope; scope++)
    if (!isgraph((unsigned char)*scope) || strchr("[]:/,", *scope))
      return false;
  return inet_pton(AF_INET6, address, &parsed) == 1;
}

/* A name as resolvers take it, or an IPv4 address. */
static bool is_name(const char *host) {
  bool has_digits_only = true;
  for (const char *c = host; *c; c++) {
    if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
      return false;
    has_digits_only &= isdigit((unsigned char)*c) || *c == '.';
  }
  struct in_addr parsed;
  if (has_digits_only) /* 127.1 and 300.0.0.1 are mistakes, not names */
    return inet_pton(AF_INET, host, &parsed) == 1;
  return isalnum((unsigned char)host[0]) || host[0] == '_';
}

bool link_target_parse(const char *text, uint16_t default_port, struct link_target *target) {
  struct link_target parsed = {.port = default_port};
  if (strncmp(text, unix_prefix, sizeof(unix_prefix) - 1) == 0) {
    parsed.port = 0;
    if (!parse_path(text + sizeof(unix_prefix) - 1, &parsed))
      return false;
    *target = parsed;
    return true;
  }
  bool has_bracket = text[0] == '[';
  const char *host = text + has_bracket;
  const char *colon = strchr(host, ':');
  bool has_colons = colon && strchr(colon + 1, ':');
  const char *end = has_bracket ? strchr(host, ']') : has_colons || !colon ? host + strlen(host) : colon;
  if (!end || end == host || (size_t)(end - host) >= sizeof(parsed.host))
    return false;
  memcpy(parsed.host, host, (size_t)(end - host));
  end += has_bracket;
  if (*end && (*end != ':' || !parse_port(end + 1, &parsed.port)))
    return false;
  if (!(has_bracket || has_colons ? is_v6(parsed.host) : is_name(parsed.host)))
    return false;
  *target = parsed;
  return true;
}

const char *link_target_text(const struct link_target *target, char text[LINK_TARGET_TEXT_SIZE]) {
  bool is_v6_host = strchr(target->host, ':') != NULL;
  if (target->path[0])
    snprintf(text, LINK_TARGET_TEXT_SIZE, "%s%s", unix_prefix, target->path);
  else if (target->port == 0)
    snprintf(text, LINK_TARGET_TEXT_SIZE, "%s", target->host);
  else
    snprintf(text, LINK_TARGET_TEXT_SIZE, is_v6_host ? "[%s]:%u" : "%s:%u", target->host, target->port);
  return text;
}

bool link_target_is_set(const struct link_target *target) { return target->path[0] || target->host[0]; }

bool link_target_is_same(const struct link_target *one, const struct link_target *other) {
  return strcmp(one->path, other->path) == 0 && strcmp(one->host, other->host) == 0 &&
         one->port == other->port;
}
