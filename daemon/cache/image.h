/*
 * image: what memory holds as octets, for `mxway dump` and `load` and for snapshots.
 *
 * An image is a header and then records, the first numbered 1; the last is an end record, so that
 * an image that was cut off is known for one. In the pieces of `octets`:
 *
 *   header   8 octets "mxwayimg"; u32 version (3); time when it was begun; u64 generation: every purge of the
 *            cluster up to that had been followed (bulletin), 0 where there is none; u64 checksum
 *   record   u32 length of the payload, at most IMAGE_PAYLOAD_MAX; the payload; u64 checksum
 *
 * A checksum is the XXH3-64 of all that stands before it in its header or record, seeded with the record's
 * number (0 for the header): neither a changed octet nor a lost, doubled or moved record passes.
 * Domains stand in the order in which eviction would look at them.
 * Times are absolute, so that an image ages while it lies; what has expired is in it as long as it may be
 * answered stale (RFC 8767). A payload begins with its kind:
 *
 *   'D'  a domain
 *        u8 kind; u8 whether authentic; u16 warnings
 *        u8 how often eviction is to spare it, 0 to 3: a domain in use
 *        time when the DNS said so; time when it expires
 *        text name; text canonical, "" where it is the name; exchanges
 *   'H'  the addresses of a host
 *        text name; text expanded, "" where it is no alias; the families AAAA and A
 *   'E'  the end
 *        u64 records before it
 *
 * Failures have no place in an image: a domain that failed is left out, a family of addresses that failed is
 * unknown.
 *
 * Reading trusts nothing: what does not have the checksum is refused, and so is what has it but could not
 * have been written here (a name that is none, exchanges out of order, a life over the longest TTL). Pure;
 * the caller gives both clocks at one moment.
 */
#ifndef MXWAY_DAEMON_IMAGE_H
#define MXWAY_DAEMON_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/octets.h"
#include "rules/facts.h"

enum {
  IMAGE_VERSION = 3,
  IMAGE_HEADER_BYTES = 36,
  IMAGE_HITS_MAX = 3,
  IMAGE_PAYLOAD_MAX = 32 * 1024,
  IMAGE_RECORD_MAX = 4 + IMAGE_PAYLOAD_MAX + 8,
  IMAGE_LIFE_MAX_S = OCTETS_LIFE_MAX_S,
};

/* One moment on both clocks. */
struct image_time {
  int64_t now_ms;  /* monotonic */
  int64_t wall_ms; /* Unix time */
};

/* ---- writing: each returns the octets written ---- */

size_t image_pack_header(uint8_t at[IMAGE_HEADER_BYTES], int64_t begun_wall_ms, uint64_t generation);

/* A domain as record `number`, fresh or not; `at` has room for IMAGE_RECORD_MAX. 0 where there is nothing to
 * write: a failure, or what the configuration says. */
size_t image_pack_domain(uint8_t *at, uint64_t number, const struct domain_facts *facts, unsigned hits,
                         const struct image_time *time);

/* The same for the addresses of a host. 0 where none is known but failures. */
size_t image_pack_host(uint8_t *at, uint64_t number, const struct host *host, const struct host_facts *facts,
                       const struct image_time *time);

/* The end, as record `number`. */
size_t image_pack_end(uint8_t *at, uint64_t number);

/* ---- reading ---- */

enum image_status {
  IMAGE_GOOD,
  IMAGE_INCOMPLETE,      /* so far good, more octets are needed */
  IMAGE_NO_IMAGE,        /* it does not begin as one */
  IMAGE_OLD_VERSION,     /* of an older mxway, in a format that is read no more */
  IMAGE_UNKNOWN_VERSION, /* of a newer mxway */
  IMAGE_TOO_LARGE,       /* a length over IMAGE_PAYLOAD_MAX */
  IMAGE_BAD_CHECKSUM,    /* changed, lost or moved */
  IMAGE_BAD_RECORD,      /* its checksum is right, what it says cannot be */
  IMAGE_BEHIND_END,      /* octets follow the end record */
};

/* What is wrong, as a clause for people: "its checksum is wrong"; static storage. */
const char *image_status_text(enum image_status status);

enum image_kind { IMAGE_DOMAIN = 'D', IMAGE_HOST = 'H', IMAGE_END = 'E' };

struct image_record {
  enum image_kind kind;
  char name[FACTS_NAME_SIZE];
  struct domain_value domain;                 /* with IMAGE_DOMAIN */
  unsigned hits;                              /* with IMAGE_DOMAIN, 0 to IMAGE_HITS_MAX */
  struct family_value families[FAMILY_COUNT]; /* with IMAGE_HOST */
};

/* Reads a header of IMAGE_HEADER_BYTES; gives when the image was begun, and its generation. */
enum image_status image_parse_header(const uint8_t *bytes, int64_t *begun_wall_ms, uint64_t *generation);

/* Reads record `number` at the start of `bytes`. IMAGE_GOOD fills `record`, its times on the monotonic
 * clock, and gives the octets it took. Else both are undefined. */
enum image_status image_parse_record(const uint8_t *bytes, size_t length, uint64_t number,
                                     const struct image_time *time, struct image_record *record,
                                     size_t *taken);

#endif
