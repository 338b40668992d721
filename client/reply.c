#include "reply.h"

#include <stdlib.h>
#include <string.h>

#include "mxway.pb-c.h"

/* What protobuf-c may use to unpack one reply. An ordinary one needs 2 KiB, the
 * largest that the daemon makes, with its story, under 1 MiB; a hostile 1 MiB of empty
 * exchanges would take 80 MiB. */
enum { SCRATCH_FIRST_BYTES = 8192, SCRATCH_CHUNK_BYTES = 65536, SCRATCH_MAX_BYTES = 8 << 20 };

struct chunk {
  struct chunk *next;
  _Alignas(max_align_t) uint8_t octets[];
};

/* Memory for unpacking, given back all at once. */
struct scratch {
  struct chunk *chunks;
  uint8_t *at;
  size_t left_bytes;
  size_t budget_bytes;
  bool is_exhausted; /* malloc said no, as opposed to the budget */
  _Alignas(max_align_t) uint8_t first[SCRATCH_FIRST_BYTES];
};

static void *scratch_alloc(void *data, size_t size) {
  struct scratch *scratch = data;
  if (size > scratch->budget_bytes)
    return NULL;
  size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
  if (size > scratch->left_bytes) {
    size_t room = size > SCRATCH_CHUNK_BYTES ? size : SCRATCH_CHUNK_BYTES;
    if (room > scratch->budget_bytes)
      return NULL;
    struct chunk *chunk = malloc(sizeof *chunk + room);
    if (!chunk) {
      scratch->is_exhausted = true;
      return NULL;
    }
    scratch->budget_bytes -= room;
    chunk->next = scratch->chunks;
    scratch->chunks = chunk;
    scratch->at = chunk->octets;
    scratch->left_bytes = room;
  }
  void *given = scratch->at;
  scratch->at += size;
  scratch->left_bytes -= size;
  return given;
}

static void scratch_free(void *data, void *pointer) {
  (void)data;
  (void)pointer;
}

static void scratch_init(struct scratch *scratch) {
  scratch->chunks = NULL;
  scratch->at = scratch->first;
  scratch->left_bytes = sizeof scratch->first;
  scratch->budget_bytes = SCRATCH_MAX_BYTES;
  scratch->is_exhausted = false;
}

static void scratch_fini(struct scratch *scratch) {
  while (scratch->chunks) {
    struct chunk *chunk = scratch->chunks;
    scratch->chunks = chunk->next;
    free(chunk);
  }
}

/* How much of each kind a reply holds. */
struct extent {
  size_t address_count;
  size_t text_bytes;
};

static bool is_sound(const Mxway__V1__LookupReply *message) {
  if (message->smtp_code > 599 || (message->site_id.len != 0 && message->site_id.len != 16))
    return false;
  for (size_t i = 0; i < message->n_exchanges; i++) {
    const Mxway__V1__Exchange *exchange = message->exchanges[i];
    if (exchange->preference > UINT16_MAX || exchange->port > UINT16_MAX)
      return false;
    for (size_t k = 0; k < exchange->n_addresses; k++)
      if (exchange->addresses[k].len != 4 && exchange->addresses[k].len != 16)
        return false;
  }
  return true;
}

static struct extent measure(const Mxway__V1__LookupReply *message) {
  struct extent extent = {0, 0};
  extent.text_bytes = strlen(message->canonical) + strlen(message->enhanced_status) +
                      strlen(message->site_name) + strlen(message->detail) + 4;
  for (size_t i = 0; i < message->n_exchanges; i++) {
    const Mxway__V1__Exchange *exchange = message->exchanges[i];
    extent.address_count += exchange->n_addresses;
    extent.text_bytes += strlen(exchange->host) + strlen(exchange->expanded) + 2;
  }
  for (size_t i = 0; i < message->n_story; i++)
    extent.text_bytes += strlen(message->story[i]->rule) + strlen(message->story[i]->text) + 2;
  return extent;
}

static const char *copy_text(char **at, const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = *at;
  memcpy(copy, text, bytes);
  *at += bytes;
  return copy;
}

static const char *warning_text(int warning) {
  static const char *const texts[] = {
      [MXWAY__V1__WARNING__WARNING_NULL_MX_NONZERO_PREFERENCE] = "null_mx_nonzero_preference",
      [MXWAY__V1__WARNING__WARNING_NULL_MX_MIXED] = "null_mx_mixed",
      [MXWAY__V1__WARNING__WARNING_MX_IS_ADDRESS] = "mx_is_address",
      [MXWAY__V1__WARNING__WARNING_MX_IS_CNAME] = "mx_is_cname",
      [MXWAY__V1__WARNING__WARNING_DUPLICATE_EXCHANGE] = "duplicate_exchange",
      [MXWAY__V1__WARNING__WARNING_UNUSABLE_NAME] = "unusable_name",
      [MXWAY__V1__WARNING__WARNING_TOO_MANY_MX] = "too_many_mx",
  };
  bool is_known = warning > 0 && (size_t)warning < sizeof texts / sizeof *texts;
  return is_known ? texts[warning] : "UNKNOWN";
}

static void fill_exchange(struct mxway_exchange *exchange, const Mxway__V1__Exchange *message,
                          struct mxway_address *addresses, char **text) {
  exchange->preference = (uint16_t)message->preference;
  exchange->port = (uint16_t)message->port;
  exchange->host = copy_text(text, message->host);
  exchange->expanded = copy_text(text, message->expanded);
  exchange->status = (enum mxway_status)message->status;
  exchange->ttl_s = message->ttl;
  exchange->address_count = message->n_addresses;
  exchange->addresses = addresses;
  for (size_t i = 0; i < message->n_addresses; i++) {
    addresses[i].length = (uint8_t)message->addresses[i].len;
    memcpy(addresses[i].octets, message->addresses[i].data, message->addresses[i].len);
  }
}

static void fill_story(struct mxway_story_line *story, const Mxway__V1__LookupReply *message, char **text) {
  for (size_t i = 0; i < message->n_story; i++) {
    story[i].at_us = message->story[i]->at_us;
    story[i].rule = copy_text(text, message->story[i]->rule);
    story[i].text = copy_text(text, message->story[i]->text);
  }
}

static void fill_head(struct mxway_reply *reply, const Mxway__V1__LookupReply *message, char **text) {
  reply->verdict = (enum mxway_verdict)message->verdict;
  reply->ttl_s = message->ttl;
  reply->mx_ttl_s = message->mx_ttl;
  reply->age_s = message->age;
  reply->source = (enum mxway_source)message->source;
  reply->stale = message->stale;
  reply->implicit = message->implicit;
  reply->truncated = message->truncated;
  reply->authenticated = message->authenticated;
  reply->canonical = copy_text(text, message->canonical);
  reply->smtp_code = (uint16_t)message->smtp_code;
  reply->enhanced_status = copy_text(text, message->enhanced_status);
  reply->site_name = copy_text(text, message->site_name);
  reply->site_id_length = message->site_id.len;
  if (message->site_id.len)
    memcpy(reply->site_id, message->site_id.data, message->site_id.len);
  reply->detail = copy_text(text, message->detail);
}

/* The reply, then exchanges, story, warnings, addresses, texts: by falling alignment, without gaps. Sizes
 * cannot overflow: what they count fitted into SCRATCH_MAX_BYTES. */
static struct mxway_reply *build(const Mxway__V1__LookupReply *message) {
  struct extent extent = measure(message);
  struct mxway_exchange *exchanges;
  struct mxway_story_line *story;
  struct mxway_address *addresses;
  const char **warnings;
  struct mxway_reply *reply =
      calloc(1, sizeof *reply + message->n_exchanges * sizeof *exchanges + message->n_story * sizeof *story +
                    message->n_warnings * sizeof *warnings + extent.address_count * sizeof *addresses +
                    extent.text_bytes);
  if (!reply)
    return NULL;
  exchanges = (void *)(reply + 1);
  story = (void *)(exchanges + message->n_exchanges);
  warnings = (void *)(story + message->n_story);
  addresses = (void *)(warnings + message->n_warnings);
  char *text = (char *)(addresses + extent.address_count);

  fill_head(reply, message, &text);
  reply->warning_count = message->n_warnings;
  reply->warnings = warnings;
  for (size_t i = 0; i < message->n_warnings; i++)
    warnings[i] = warning_text((int)message->warnings[i]);
  reply->exchange_count = message->n_exchanges;
  reply->exchanges = exchanges;
  for (size_t i = 0; i < message->n_exchanges; i++) {
    fill_exchange(&exchanges[i], message->exchanges[i], addresses, &text);
    addresses += message->exchanges[i]->n_addresses;
  }
  reply->story_count = message->n_story;
  reply->story = story;
  fill_story(story, message, &text);
  return reply;
}

int mxway_reply_decode(const uint8_t *body, size_t length, uint64_t *id, struct mxway_reply **reply) {
  struct scratch scratch;
  scratch_init(&scratch);
  ProtobufCAllocator allocator = {scratch_alloc, scratch_free, &scratch};
  Mxway__V1__LookupReply *message = mxway__v1__lookup_reply__unpack(&allocator, length, body);
  int error = 0;
  if (!message) {
    error = scratch.is_exhausted ? MXWAY_ERR_NOMEM : MXWAY_ERR_PROTOCOL;
  } else if (!is_sound(message)) {
    error = MXWAY_ERR_PROTOCOL;
  } else {
    struct mxway_reply *built = build(message);
    error = built ? 0 : MXWAY_ERR_NOMEM;
    if (built) {
      *id = message->id;
      *reply = built;
    }
  }
  scratch_fini(&scratch);
  return error;
}

void mxway_reply_free(struct mxway_reply *reply) { free(reply); }
