/*
 * control_requests: requests of the control protocol, for tests.
 *
 * Each points at one body of its kind, which the next of the kind changes, and at what it was made of.
 */
#ifndef MXWAY_TESTS_CONTROL_REQUESTS_H
#define MXWAY_TESTS_CONTROL_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "control.pb-c.h"

static inline ProtobufCBinaryData text(const char *octets) {
  return (ProtobufCBinaryData){.len = strlen(octets), .data = (uint8_t *)octets};
}

static inline Mxway__V1__ControlRequest stats_request(uint64_t id) {
  static Mxway__V1__StatsRequest body = MXWAY__V1__STATS_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  request.id = id;
  request.stats = &body;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_STATS;
  return request;
}

static inline Mxway__V1__ControlRequest show_request(uint64_t id, const char *domain) {
  static Mxway__V1__ShowRequest body;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  mxway__v1__show_request__init(&body);
  body.domain = text(domain);
  request.id = id;
  request.show = &body;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_SHOW;
  return request;
}

static inline Mxway__V1__ControlRequest purge_request(uint64_t id, Mxway__V1__PurgeWhat what, size_t count,
                                                      const char *first, const char *second) {
  static Mxway__V1__PurgeRequest body;
  static ProtobufCBinaryData names[2];
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  mxway__v1__purge_request__init(&body);
  names[0] = text(first);
  names[1] = text(second);
  body.what = what;
  body.n_names = count;
  body.names = names;
  request.id = id;
  request.purge = &body;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE;
  return request;
}

static inline Mxway__V1__ControlRequest dump_request(uint64_t id) {
  static Mxway__V1__DumpRequest body = MXWAY__V1__DUMP_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  request.id = id;
  request.dump = &body;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_DUMP;
  return request;
}

static inline Mxway__V1__ControlRequest load_request(uint64_t id, const uint8_t *octets, size_t length,
                                                     bool last) {
  static Mxway__V1__LoadRequest body;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  mxway__v1__load_request__init(&body);
  body.piece = (ProtobufCBinaryData){.len = length, .data = (uint8_t *)octets};
  body.last = last;
  request.id = id;
  request.load = &body;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD;
  return request;
}

#endif
