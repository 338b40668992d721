#include "address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Decimal digits only, of a number up to `max`. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number) {
  uint64_t value = 0;
  if (!*text)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return false;
    value = value * 10 + (uint64_t)(*text - '0');
    if (value > max)
      return false;
  }
  *number = value;
  return true;
}

static bool parse_scope(const char *scope, uint32_t *index) {
  uint64_t number;
  *index = parse_number(scope, UINT32_MAX, &number) ? (uint32_t)number : if_nametoindex(scope);
  return *index != 0;
}

static bool parse_v4(const char *host, uint16_t port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static bool parse_v6(char *host, uint16_t port, struct sockaddr_storage *address) {
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  char *percent = strchr(host, '%');
  if (percent) {
    *percent = '\0';
    if (!parse_scope(percent + 1, &v6->sin6_scope_id))
      return false;
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

bool address_parse(const char *text, uint16_t default_port, struct sockaddr_storage *address) {
  char host[ADDRESS_TEXT_SIZE];
  bool bracketed = text[0] == '[';
  if (strlen(text) >= sizeof(host))
    return false;
  memcpy(host, text + bracketed, strlen(text + bracketed) + 1);
  char *colon = strchr(host, ':');
  bool is_v6 = bracketed || (colon && strchr(colon + 1, ':'));
  if (is_v6)
    colon = NULL; /* this one belongs to the address */
  if (bracketed) {
    char *bracket = strchr(host, ']');
    if (!bracket || (bracket[1] && bracket[1] != ':'))
      return false;
    *bracket = '\0';
    colon = bracket[1] ? bracket + 1 : NULL;
  }
  uint64_t port = default_port;
  if (colon) {
    *colon = '\0';
    if (!parse_number(colon + 1, UINT16_MAX, &port) || port == 0)
      return false;
  }
  memset(address, 0, sizeof(*address));
  return is_v6 ? parse_v6(host, (uint16_t)port, address) : parse_v4(host, (uint16_t)port, address);
}

const char *address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_SIZE]) {
  char host[40]; /* the longest IPv6 address and its terminator */
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    snprintf(text, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(v4->sin_port));
    return text;
  }
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
  inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
  if (v6->sin6_scope_id)
    snprintf(text, ADDRESS_TEXT_SIZE, "[%s%%%" PRIu32 "]:%u", host, v6->sin6_scope_id, ntohs(v6->sin6_port));
  else
    snprintf(text, ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
  return text;
}
