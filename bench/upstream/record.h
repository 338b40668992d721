/*
 * record: what zones have in common: the numbers of types, and how a lookup hands over its records.
 */
#ifndef MXWAY_BENCH_UPSTREAM_RECORD_H
#define MXWAY_BENCH_UPSTREAM_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "dname.h"

enum record_type {
  TYPE_A = 1,
  TYPE_NS = 2,
  TYPE_CNAME = 5,
  TYPE_SOA = 6,
  TYPE_MX = 15,
  TYPE_TXT = 16,
  TYPE_AAAA = 28,
  TYPE_OPT = 41,
  TYPE_ANY = 255
};

enum { CLASS_IN = 1, CLASS_CH = 3, CLASS_ANY = 255 };

enum rcode { RCODE_NOERROR, RCODE_FORMERR, RCODE_SERVFAIL, RCODE_NXDOMAIN, RCODE_NOTIMP, RCODE_REFUSED };

/* What a zone knows of a name and a type. */
enum found {
  FOUND_OUTSIDE,  /* the name is in no zone */
  FOUND_RECORDS,  /* all were handed over */
  FOUND_ALIAS,    /* the CNAME record was */
  FOUND_NODATA,   /* the name exists, the type does not */
  FOUND_NXDOMAIN, /* nor does the name */
};

/* Takes one record; `rdata` is not compressed and lent for the call. */
typedef void record_fn(void *context, const struct dname *owner, uint16_t type, uint32_t ttl,
                       const uint8_t *rdata, size_t rdata_length);

/* A type by its name in any case, 0 for an unknown one; its name, NULL for an unknown one. */
uint16_t record_type_parse(const char *text);
const char *record_type_text(uint16_t type);

#endif
