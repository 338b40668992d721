#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "mxway.pb-c.h"

enum {
  DOMAIN_MAX_BYTES = 60000, /* leaves room for the rest of a request frame */
  FIELD_MIN_BYTES = 2,      /* of the tag and the length of a text */
};

/* The texts and addresses of a message while it is made. */
struct items {
  ProtobufCBinaryData *next;
  size_t room_bytes; /* what a frame still holds, so that no sum overflows */
};

static bool take_room(size_t *room_bytes, size_t length) {
  if (*room_bytes < FIELD_MIN_BYTES || length > *room_bytes - FIELD_MIN_BYTES)
    return false;
  *room_bytes -= FIELD_MIN_BYTES + length;
  return true;
}

/* Each of these returns false for what cannot be asked. */
static bool add_item(struct items *items, const void *octets, size_t length) {
  *items->next++ = (ProtobufCBinaryData){length, (uint8_t *)octets};
  return take_room(&items->room_bytes, length);
}

static bool add_texts(struct items *items, const char *const *texts, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!texts[i] || !add_item(items, texts[i], strlen(texts[i])))
      return false;
  return true;
}

static bool add_addresses(struct items *items, const struct mxway_address *addresses, size_t count) {
  for (size_t i = 0; i < count; i++)
    if ((addresses[i].length != 4 && addresses[i].length != 16) ||
        !add_item(items, addresses[i].octets, addresses[i].length))
      return false;
  return true;
}

static bool fill_lists(Mxway__V1__LookupRequest *message, const struct mxway_request *request,
                       struct items *items) {
  message->n_self_names = request->self_name_count;
  message->self_names = items->next;
  if (!add_texts(items, request->self_names, request->self_name_count))
    return false;
  message->n_self_addresses = request->self_address_count;
  message->self_addresses = items->next;
  if (!add_addresses(items, request->self_addresses, request->self_address_count))
    return false;
  message->n_exclude = request->exclude_count;
  message->exclude = items->next;
  return add_texts(items, request->exclude, request->exclude_count);
}

static bool fill_texts(Mxway__V1__LookupRequest *message, const struct mxway_request *request,
                       size_t *room_bytes) {
  if (!request->domain)
    return false;
  message->domain.data = (uint8_t *)request->domain;
  message->domain.len = request->domain_length ? request->domain_length : strlen(request->domain);
  if (message->domain.len > DOMAIN_MAX_BYTES || !take_room(room_bytes, message->domain.len))
    return false;
  if (!request->order_key)
    return request->order_key_length == 0;
  message->order_key.data = (uint8_t *)request->order_key;
  message->order_key.len = request->order_key_length ? request->order_key_length : strlen(request->order_key);
  return take_room(room_bytes, message->order_key.len);
}

static void fill_plain(Mxway__V1__LookupRequest *message, const struct mxway_request *request, uint64_t id) {
  message->id = id;
  message->depth = (Mxway__V1__Depth)request->depth;
  message->timeout_ms = request->timeout_ms;
  message->order = (Mxway__V1__Order)request->order;
  message->family = (Mxway__V1__Family)request->family;
  message->primary_only = request->primary_only;
  message->max_exchanges = request->max_exchanges;
  message->no_stale = request->no_stale;
  message->refresh = request->refresh;
  message->cache_only = request->cache_only;
  message->explain = request->explain;
}

static int append(const Mxway__V1__LookupRequest *message, struct mxway_buffer *out) {
  size_t length = mxway__v1__lookup_request__get_packed_size(message);
  if (length > FRAME_REQUEST_MAX)
    return MXWAY_ERR_ARGUMENT;
  if (!mxway_buffer_reserve(out, FRAME_HEADER_MAX + length))
    return MXWAY_ERR_NOMEM;
  out->end += frame_build_header(out->octets + out->end, length);
  out->end += mxway__v1__lookup_request__pack(message, out->octets + out->end);
  return 0;
}

/* The items of all lists; SIZE_MAX where more than any frame holds. */
static size_t count_items(const struct mxway_request *request) {
  const size_t most = FRAME_REQUEST_MAX / FIELD_MIN_BYTES;
  if (request->self_name_count > most || request->self_address_count > most || request->exclude_count > most)
    return SIZE_MAX;
  return request->self_name_count + request->self_address_count + request->exclude_count;
}

int mxway_request_encode(const struct mxway_request *request, uint64_t id, struct mxway_buffer *out) {
  Mxway__V1__LookupRequest message = MXWAY__V1__LOOKUP_REQUEST__INIT;
  struct items items = {.room_bytes = FRAME_REQUEST_MAX};
  size_t count = count_items(request);
  if (count == SIZE_MAX || !fill_texts(&message, request, &items.room_bytes))
    return MXWAY_ERR_ARGUMENT;
  ProtobufCBinaryData *memory = NULL;
  if (count > 0 && !(memory = malloc(count * sizeof *memory)))
    return MXWAY_ERR_NOMEM;
  items.next = memory;
  fill_plain(&message, request, id);
  int error = fill_lists(&message, request, &items) ? append(&message, out) : MXWAY_ERR_ARGUMENT;
  free(memory);
  return error;
}
