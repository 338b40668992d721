/*
 * dnsmsg: a raw DNS reply read for what it says about one question.
 *
 * Pure and bounded: reads only the bytes given, allocates nothing, follows at
 * most DNSMSG_CNAME_HOPS_MAX aliases, decompresses each name with a bound on jumps.
 * Anything a stranger can send is answered with an outcome, never a crash.
 * Only records of class IN, in the answer section, owned by the end of the
 * CNAME chain count (RFC 2181 section 5.4.1; ROUTING V18); of the authority
 * section only the SOA of a zone that holds that name is read, and whether there
 * are NS records; the additional section not at all but for whether it holds an OPT record.
 *
 * Names come out as text: lower case, no trailing dot, "" for the root. An
 * octet that cannot stand in a host name of ours (control, space, 8-bit, and
 * '.' or '\\' inside a label, which would read as something else) makes the
 * name unusable: it is never passed on as text.
 */
#ifndef MXWAY_DAEMON_DNSMSG_H
#define MXWAY_DAEMON_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  DNSMSG_MX_MAX = 100,        /* MX records read (ROUTING V16) */
  DNSMSG_ADDRESS_MAX = 32,    /* addresses of one family read */
  DNSMSG_CNAME_HOPS_MAX = 16, /* the option's upper bound; the caller has its own */
  DNSMSG_NAME_SIZE = 254,     /* text and terminator */
};

enum {
  DNSMSG_A = 1,
  DNSMSG_NS = 2,
  DNSMSG_CNAME = 5,
  DNSMSG_SOA = 6,
  DNSMSG_MX = 15,
  DNSMSG_AAAA = 28,
  DNSMSG_OPT = 41
};

enum dnsmsg_outcome {
  DNSMSG_ANSWER,   /* at least one record of the type asked */
  DNSMSG_NODATA,   /* the name (or the chain's end) exists without one */
  DNSMSG_NXDOMAIN, /* the name (or the chain's end) does not exist (RFC 6604) */
  DNSMSG_FOLLOW,   /* the chain ends at `canonical`, about which this reply is silent */
  DNSMSG_LOOP,     /* the chain loops or exceeds DNSMSG_CNAME_HOPS_MAX; `canonical` is somewhere on it */
  DNSMSG_FORMERR,
  DNSMSG_SERVFAIL,
  DNSMSG_NOTIMP,
  DNSMSG_REFUSED,     /* or a referral: the server does not recurse for us (RFC 2308 section 2.2) */
  DNSMSG_OTHER_RCODE, /* any other rcode; treated as SERVFAIL */
  DNSMSG_MALFORMED,   /* not a whole reply to this question */
};

struct dnsmsg_mx {
  uint16_t preference;
  bool usable;                 /* false: `host` is "" and the record names no possible host */
  char host[DNSMSG_NAME_SIZE]; /* "" with usable: the root, a null MX (RFC 7505) */
};

struct dnsmsg {
  enum dnsmsg_outcome outcome;
  bool authentic;                   /* the AD bit (RFC 6840 section 5.7) */
  bool has_opt;                     /* the reply carries EDNS */
  bool has_soa;                     /* a denial with an SOA; without one negative_ttl_s is 0 */
  uint8_t hops;                     /* CNAMEs followed */
  uint32_t ttl_s;                   /* ANSWER, FOLLOW: least TTL of the records used, aliases included.
                                       NODATA, NXDOMAIN, LOOP: least TTL of the aliases, UINT32_MAX without one.
                                       Unclamped: a TTL with its top bit set is a large number (RFC 8767 section 4). */
  uint32_t negative_ttl_s;          /* min(SOA TTL, SOA MINIMUM) (RFC 2308 section 5) */
  char canonical[DNSMSG_NAME_SIZE]; /* end of the chain; the question's name without one */
  bool cut;                         /* more records than the bound; those beyond were not read */
  uint8_t mx_count;                 /* <= DNSMSG_MX_MAX, in wire order, duplicates kept */
  uint8_t address_count;            /* <= DNSMSG_ADDRESS_MAX, in wire order, duplicates removed */
  uint8_t address_length;           /* 4 for A, 16 for AAAA */
  union {
    struct dnsmsg_mx mx[DNSMSG_MX_MAX];
    uint8_t addresses[DNSMSG_ADDRESS_MAX][16];
  };
};

/* Reads `message` as the reply to the question (`qname`, `qtype`, IN). `qname` is
 * canonical text (lower case, no trailing dot); `qtype` is DNSMSG_MX, DNSMSG_A or DNSMSG_AAAA.
 * MALFORMED covers: not a reply, another or no question (an empty question
 * section is accepted only with an rcode that is neither NOERROR nor NXDOMAIN),
 * TC set (the truncated part is never used: V17), a record that does not fit,
 * rdata that is used of the wrong length, an answer whose only aliases or records of the type, or whose only
 * records at all, have foreign owners (V18),
 * NXDOMAIN beside records of the type, an alias with two targets, or whose target is the root or not usable
 * as text. Truncation of any part, the additional section included, is MALFORMED. Octets behind the last
 * record are ignored. More than 64 aliases are a LOOP. With MALFORMED nothing but the outcome, the question's
 * name as `canonical` and `address_length` is set. Costs 0.2 us for a usual reply and at most a few ms for
 * 65535 octets made to be slow. Requires strlen(qname) < DNSMSG_NAME_SIZE. Always fills `out`; writes no more
 * of the arrays than the counts say. */
void dnsmsg_parse(const uint8_t *message, size_t length, const char *qname, uint16_t qtype,
                  struct dnsmsg *out);

#endif
