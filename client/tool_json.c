#include "tool_json.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"

static json_t *text_value(const char *text, size_t length) {
  size_t repaired_length;
  char *repaired = tool_utf8_repair(text, length, false, &repaired_length);
  if (!repaired)
    return NULL;
  json_t *value = json_stringn(repaired, repaired_length);
  free(repaired);
  return value;
}

/* Each of these returns false without memory; jansson takes a NULL value as its own failure. */
static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

static bool put_text(json_t *object, const char *key, const char *text) {
  return put(object, key, text_value(text, strlen(text)));
}

static bool put_number(json_t *object, const char *key, uint32_t number) {
  return put(object, key, json_integer(number));
}

static bool put_bool(json_t *object, const char *key, bool value) {
  return put(object, key, json_boolean(value));
}

static bool put_hex(json_t *object, const char *key, const uint8_t *octets, size_t length) {
  static const char digits[] = "0123456789abcdef";
  char hex[2 * sizeof((struct mxway_reply *)0)->site_id + 1];
  for (size_t i = 0; i < length; i++) {
    hex[2 * i] = digits[octets[i] >> 4];
    hex[2 * i + 1] = digits[octets[i] & 15];
  }
  return put(object, key, json_stringn(hex, 2 * length));
}

static bool put_addresses(json_t *object, const struct mxway_exchange *exchange) {
  json_t *array = json_array();
  bool is_good = put(object, "addresses", array);
  for (size_t i = 0; is_good && i < exchange->address_count; i++) {
    const struct mxway_address *address = &exchange->addresses[i];
    char text[INET6_ADDRSTRLEN];
    inet_ntop(address->length == 4 ? AF_INET : AF_INET6, address->octets, text, sizeof text);
    is_good = json_array_append_new(array, json_string(text)) == 0;
  }
  return is_good;
}

static bool put_exchanges(json_t *object, const struct mxway_reply *reply) {
  json_t *array = json_array();
  bool is_good = put(object, "exchanges", array);
  for (size_t i = 0; is_good && i < reply->exchange_count; i++) {
    const struct mxway_exchange *exchange = &reply->exchanges[i];
    json_t *item = json_object();
    is_good = json_array_append_new(array, item) == 0 &&
              put_number(item, "preference", exchange->preference) &&
              put_text(item, "host", exchange->host) && put_text(item, "expanded", exchange->expanded) &&
              put_text(item, "status", mxway_status_text(exchange->status)) &&
              put_number(item, "ttl", exchange->ttl_s) && put_addresses(item, exchange) &&
              (exchange->port == 0 || put_number(item, "port", exchange->port));
  }
  return is_good;
}

static bool put_warnings(json_t *object, const struct mxway_reply *reply) {
  json_t *array = json_array();
  bool is_good = put(object, "warnings", array);
  for (size_t i = 0; is_good && i < reply->warning_count; i++)
    is_good = json_array_append_new(array, json_string(reply->warnings[i])) == 0;
  return is_good;
}

static bool put_story(json_t *object, const struct mxway_reply *reply) {
  json_t *array = json_array();
  bool is_good = put(object, "story", array);
  for (size_t i = 0; is_good && i < reply->story_count; i++) {
    const struct mxway_story_line *line = &reply->story[i];
    json_t *item = json_object();
    is_good = json_array_append_new(array, item) == 0 && put_number(item, "at_us", line->at_us) &&
              put_text(item, "rule", line->rule) && put_text(item, "text", line->text);
  }
  return is_good;
}

char *tool_json_build(const char *domain, size_t domain_length, const struct mxway_reply *reply,
                      bool with_story) {
  json_t *object = json_object();
  char *line = NULL;
  if (object && put(object, "domain", text_value(domain, domain_length)) &&
      put_text(object, "canonical", reply->canonical) &&
      put_text(object, "verdict", mxway_verdict_text(reply->verdict)) &&
      put_text(object, "class", mxway_class_text(mxway_reply_class(reply))) &&
      put_number(object, "smtp_code", reply->smtp_code) &&
      put_text(object, "enhanced_status", reply->enhanced_status) &&
      put_number(object, "ttl", reply->ttl_s) && put_number(object, "mx_ttl", reply->mx_ttl_s) &&
      put_number(object, "age", reply->age_s) &&
      put_text(object, "source", mxway_source_text(reply->source)) &&
      put_bool(object, "stale", reply->stale) && put_bool(object, "implicit", reply->implicit) &&
      put_bool(object, "truncated", reply->truncated) &&
      put_bool(object, "authenticated", reply->authenticated) &&
      put_hex(object, "site_id", reply->site_id, reply->site_id_length) &&
      put_text(object, "site_name", reply->site_name) && put_warnings(object, reply) &&
      put_exchanges(object, reply) && (!with_story || put_story(object, reply)))
    line = json_dumps(object, JSON_COMPACT);
  json_decref(object);
  return line;
}
