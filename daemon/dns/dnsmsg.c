#include "dns/dnsmsg.h"

#include <assert.h>
#include <string.h>

enum {
  HEADER_LENGTH = 12,
  FLAG_RESPONSE = 0x8000,
  FLAG_TRUNCATED = 0x0200,
  FLAG_AUTHENTIC = 0x0020,
  OPCODE_MASK = 0x7800,
  RCODE_MASK = 0x000f,
  CLASS_IN = 1,
  LABELS_WIRE_MAX = 254, /* RFC 1035 section 2.3.4: 255 octets with the root's */
  JUMPS_MAX = 127,       /* a name has no more labels, and no label needs two pointers */
  ALIASES_MAX = 64,      /* in one reply: no chain we follow is longer; bounds the work */
};

enum { RCODE_NOERROR = 0, RCODE_FORMERR, RCODE_SERVFAIL, RCODE_NXDOMAIN, RCODE_NOTIMP, RCODE_REFUSED };

enum section { ANSWER, AUTHORITY, ADDITIONAL, SECTION_COUNT };

struct reader {
  const uint8_t *bytes;
  size_t length;
  size_t at; /* <= length */
};

struct record {
  bool owner_usable;
  char owner[DNSMSG_NAME_SIZE];
  uint16_t type;
  uint16_t class;
  uint32_t ttl_s;
  size_t rdata_at;
  size_t rdata_length; /* rdata_at + rdata_length <= length of the message */
};

struct reply {
  struct reader reader;
  uint16_t qtype;
  uint16_t rcode; /* with the upper bits of OPT (RFC 6891 section 6.1.3) */
  uint16_t counts[SECTION_COUNT];
  size_t answers_at;
  bool has_answers;               /* the answer section holds records of class IN, */
  bool has_own;                   /* one of which the question's name owns, */
  bool has_typed;                 /* and one of which is of the type asked, of whatever owner */
  size_t alias_count;             /* its CNAMEs, of whatever owner */
  size_t aliases_at[ALIASES_MAX]; /* where the first of them begin */
  size_t authority_at;
  bool has_servers; /* the authority section names some */
};

static bool read_u8(struct reader *reader, uint8_t *value) {
  if (reader->at >= reader->length)
    return false;
  *value = reader->bytes[reader->at++];
  return true;
}

static bool read_u16(struct reader *reader, uint16_t *value) {
  if (reader->length - reader->at < 2)
    return false;
  const uint8_t *at = reader->bytes + reader->at;
  *value = (uint16_t)(at[0] << 8 | at[1]);
  reader->at += 2;
  return true;
}

static bool read_u32(struct reader *reader, uint32_t *value) {
  uint16_t high, low;
  if (!read_u16(reader, &high) || !read_u16(reader, &low))
    return false;
  *value = (uint32_t)high << 16 | low;
  return true;
}

/* Writes a label in lower case; returns whether all of it can stand in a name of ours. */
static bool copy_label(const uint8_t *label, size_t length, char *text) {
  bool usable = true;
  for (size_t i = 0; i < length; i++) {
    uint8_t octet = label[i];
    if (octet <= 0x20 || octet >= 0x7f || octet == '.' || octet == '\\')
      usable = false;
    text[i] = (char)((uint8_t)(octet - 'A') < 26 ? octet | 0x20 : octet);
  }
  return usable;
}

/* Reads the second half of a compression pointer and goes where it points: to a prior occurrence of
 * a name (RFC 1035 section 4.1.4), so before the stretch of labels that it ends, up to where that begins. No
 * chain of them has a loop, and none reads what is behind the message. */
static bool jump(struct reader *labels, uint8_t first, size_t *stretch_at) {
  uint8_t second;
  if (!read_u8(labels, &second))
    return false;
  size_t target = (size_t)(first & 0x3f) << 8 | second;
  if (target >= *stretch_at || target < HEADER_LENGTH)
    return false;
  labels->length = *stretch_at;
  *stretch_at = labels->at = target;
  return true;
}

/* Reads a name, compressed or not, and leaves the reader behind it. `text` is "" when the
 * name is not usable. Returns false if it is no name at all. */
static bool read_name(struct reader *reader, char text[DNSMSG_NAME_SIZE], bool *usable) {
  struct reader labels = *reader;
  size_t stretch_at = reader->at, text_length = 0, wire_length = 0;
  unsigned jumps = 0;
  uint8_t octet;
  *usable = true;
  for (;;) {
    if (!read_u8(&labels, &octet))
      return false;
    if (octet == 0)
      break;
    if ((octet & 0xc0) == 0xc0) {
      if (jumps == 0)
        reader->at = labels.at + 1;
      if (++jumps > JUMPS_MAX || !jump(&labels, octet, &stretch_at))
        return false;
      continue;
    }
    /* 01 and 10 are no labels (RFC 6891 section 5). */
    wire_length += 1u + octet;
    if (octet & 0xc0 || wire_length > LABELS_WIRE_MAX || labels.length - labels.at < octet)
      return false;
    if (text_length > 0)
      text[text_length++] = '.';
    if (!copy_label(labels.bytes + labels.at, octet, text + text_length))
      *usable = false;
    text_length += octet;
    labels.at += octet;
  }
  text[*usable ? text_length : 0] = '\0';
  if (jumps == 0)
    reader->at = labels.at;
  return true;
}

/* Reads a record and leaves the reader behind its rdata. */
static bool read_record(struct reader *reader, struct record *record) {
  uint16_t rdata_length;
  if (!read_name(reader, record->owner, &record->owner_usable) || !read_u16(reader, &record->type) ||
      !read_u16(reader, &record->class) || !read_u32(reader, &record->ttl_s) ||
      !read_u16(reader, &rdata_length) || reader->length - reader->at < rdata_length)
    return false;
  record->rdata_at = reader->at;
  record->rdata_length = rdata_length;
  reader->at += rdata_length;
  return true;
}

/* A reader at a record's rdata; it sees what is before, for compression, and nothing behind. */
static struct reader rdata_reader(const struct reply *reply, const struct record *record) {
  return (struct reader){reply->reader.bytes, record->rdata_at + record->rdata_length, record->rdata_at};
}

static bool is_owned_by(const struct record *record, const char *name) {
  return record->owner_usable && strcmp(record->owner, name) == 0;
}

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }

static bool read_header(struct reply *reply, uint16_t *question_count, struct dnsmsg *out) {
  uint16_t id, flags;
  struct reader *reader = &reply->reader;
  if (!read_u16(reader, &id) || !read_u16(reader, &flags) || !read_u16(reader, question_count))
    return false;
  for (int section = 0; section < SECTION_COUNT; section++)
    if (!read_u16(reader, &reply->counts[section]))
      return false;
  out->authentic = flags & FLAG_AUTHENTIC;
  reply->rcode = flags & RCODE_MASK;
  return flags & FLAG_RESPONSE && !(flags & (OPCODE_MASK | FLAG_TRUNCATED));
}

static bool read_question(struct reply *reply, const char *qname) {
  char name[DNSMSG_NAME_SIZE];
  bool usable;
  uint16_t type, class;
  struct reader *reader = &reply->reader;
  return read_name(reader, name, &usable) && read_u16(reader, &type) && read_u16(reader, &class) && usable &&
         strcmp(name, qname) == 0 && type == reply->qtype && class == CLASS_IN;
}

static void note_answer(struct reply *reply, const struct record *record, size_t record_at,
                        const char *qname) {
  if (record->class != CLASS_IN)
    return;
  reply->has_answers = true;
  if (is_owned_by(record, qname))
    reply->has_own = true;
  if (record->type == reply->qtype)
    reply->has_typed = true;
  if (record->type != DNSMSG_CNAME)
    return;
  if (reply->alias_count < ALIASES_MAX)
    reply->aliases_at[reply->alias_count] = record_at;
  reply->alias_count++;
}

/* Reads through all records once: is the message whole, and where are its aliases. */
static bool survey(struct reply *reply, struct dnsmsg *out) {
  struct record record;
  reply->answers_at = reply->reader.at;
  for (enum section section = ANSWER; section < SECTION_COUNT; section++) {
    if (section == AUTHORITY)
      reply->authority_at = reply->reader.at;
    for (uint16_t i = 0; i < reply->counts[section]; i++) {
      size_t record_at = reply->reader.at;
      if (!read_record(&reply->reader, &record))
        return false;
      if (section == ANSWER)
        note_answer(reply, &record, record_at, out->canonical);
      if (section == AUTHORITY && record.type == DNSMSG_NS && record.class == CLASS_IN)
        reply->has_servers = true;
      if (section == ADDITIONAL && record.type == DNSMSG_OPT) {
        out->has_opt = true;
        reply->rcode |= (uint16_t)(record.ttl_s >> 24 << 4);
      }
    }
  }
  return true;
}

enum chain { CHAIN_END, CHAIN_STEP, CHAIN_MALFORMED, CHAIN_LOOP };

/* Looks for the alias owned by out->canonical, which it then moves to the target. Records of a
 * section come in any order (RFC 1034 section 3.6). An owner with two targets (RFC 2181 section 10.1) is
 * broken; so is a target that is the root or cannot be written as text: we cannot ask on. */
static enum chain follow_alias(const struct reply *reply, struct dnsmsg *out) {
  char target[DNSMSG_NAME_SIZE], other[DNSMSG_NAME_SIZE];
  bool found = false;
  for (size_t i = 0; i < reply->alias_count; i++) {
    struct record record;
    struct reader reader = reply->reader;
    reader.at = reply->aliases_at[i];
    if (!read_record(&reader, &record) || !is_owned_by(&record, out->canonical))
      continue;
    struct reader rdata = rdata_reader(reply, &record);
    char *text = found ? other : target;
    bool usable;
    if (!read_name(&rdata, text, &usable) || rdata.at != rdata.length || text[0] == '\0' ||
        (found && strcmp(other, target) != 0))
      return CHAIN_MALFORMED;
    found = true;
    out->ttl_s = lesser(out->ttl_s, record.ttl_s);
  }
  if (!found)
    return CHAIN_END;
  memcpy(out->canonical, target, strlen(target) + 1);
  return CHAIN_STEP;
}

/* The bound on hops also ends a loop. Reads at most hops times ALIASES_MAX records. */
static enum chain follow_chain(const struct reply *reply, struct dnsmsg *out) {
  if (reply->alias_count > ALIASES_MAX)
    return CHAIN_LOOP;
  for (;;) {
    enum chain step = follow_alias(reply, out);
    if (step != CHAIN_STEP)
      return step;
    if (out->hops == DNSMSG_CNAME_HOPS_MAX)
      return CHAIN_LOOP;
    out->hops++;
  }
}

/* RFC 1035 section 3.3.9. An exchange that is no possible host stays one bad exchange (ROUTING V11). */
static bool read_mx(struct reader *rdata, struct dnsmsg *out) {
  struct dnsmsg_mx *mx = &out->mx[out->mx_count];
  if (!read_u16(rdata, &mx->preference) || !read_name(rdata, mx->host, &mx->usable) ||
      rdata->at != rdata->length)
    return false;
  out->mx_count++;
  return true;
}

static bool read_address(struct reader *rdata, struct dnsmsg *out) {
  if (rdata->length - rdata->at != out->address_length)
    return false;
  const uint8_t *address = rdata->bytes + rdata->at;
  for (size_t i = 0; i < out->address_count; i++)
    if (memcmp(out->addresses[i], address, out->address_length) == 0)
      return true;
  if (out->address_count == DNSMSG_ADDRESS_MAX)
    out->cut = true;
  else
    memcpy(out->addresses[out->address_count++], address, out->address_length);
  return true;
}

/* Reads the records that the end of the chain owns. Their least TTL is that of all (RFC 2181 section 5.2). */
static bool read_answers(const struct reply *reply, struct dnsmsg *out) {
  struct reader reader = reply->reader;
  reader.at = reply->answers_at;
  for (uint16_t i = 0; i < reply->counts[ANSWER] && !out->cut; i++) {
    struct record record;
    if (!read_record(&reader, &record))
      return false;
    if (record.type != reply->qtype || record.class != CLASS_IN || !is_owned_by(&record, out->canonical))
      continue;
    if (out->mx_count == DNSMSG_MX_MAX) {
      out->cut = true;
      break;
    }
    struct reader rdata = rdata_reader(reply, &record);
    if (reply->qtype == DNSMSG_MX ? !read_mx(&rdata, out) : !read_address(&rdata, out))
      return false;
    out->ttl_s = lesser(out->ttl_s, record.ttl_s);
  }
  return true;
}

/* Whether `name` is `zone` or below it. */
static bool is_within(const char *name, const char *zone) {
  size_t name_length = strlen(name), zone_length = strlen(zone);
  if (zone_length == 0)
    return true;
  if (name_length < zone_length || strcmp(name + name_length - zone_length, zone) != 0)
    return false;
  return name_length == zone_length || name[name_length - zone_length - 1] == '.';
}

/* RFC 1035 section 3.3.13: two names and five numbers, of which the last is MINIMUM. The life of a denial
 * (RFC 2308 section 5). */
static bool read_soa(struct reader *rdata, uint32_t ttl_s, struct dnsmsg *out) {
  char name[DNSMSG_NAME_SIZE];
  bool usable;
  uint32_t minimum = 0;
  if (!read_name(rdata, name, &usable) || !read_name(rdata, name, &usable))
    return false;
  for (int i = 0; i < 5; i++)
    if (!read_u32(rdata, &minimum))
      return false;
  out->has_soa = true;
  out->negative_ttl_s = lesser(ttl_s, minimum);
  return rdata->at == rdata->length;
}

/* Reads the first SOA of a zone that holds the end of the chain: another zone's denies nothing about
 * it (RFC 2308 section 3). */
static bool find_soa(const struct reply *reply, struct dnsmsg *out) {
  struct reader reader = reply->reader;
  reader.at = reply->authority_at;
  for (uint16_t i = 0; i < reply->counts[AUTHORITY] && !out->has_soa; i++) {
    struct record record;
    if (!read_record(&reader, &record))
      return false;
    if (record.type != DNSMSG_SOA || record.class != CLASS_IN || !record.owner_usable ||
        !is_within(out->canonical, record.owner))
      continue;
    struct reader rdata = rdata_reader(reply, &record);
    if (!read_soa(&rdata, record.ttl_s, out))
      return false;
  }
  return true;
}

/* An answer about others only is no denial (ROUTING V18), be it a lone DNAME; nor is a denial of a name
 * whose records are there. */
static bool contradicts_denial(const struct reply *reply, const struct dnsmsg *out) {
  bool is_foreign = reply->has_answers && !reply->has_own;
  return reply->has_typed || (out->hops == 0 && (reply->alias_count > 0 || is_foreign));
}

/* What a reply without records of the type says about the end of the chain. */
static enum dnsmsg_outcome read_denial(const struct reply *reply, struct dnsmsg *out) {
  if (contradicts_denial(reply, out) || !find_soa(reply, out))
    return DNSMSG_MALFORMED;
  if (reply->rcode == RCODE_NXDOMAIN) /* of the chain's end (RFC 6604 section 3) */
    return DNSMSG_NXDOMAIN;
  if (out->has_soa)
    return DNSMSG_NODATA;
  if (out->hops > 0)
    return DNSMSG_FOLLOW;
  /* Servers and no SOA: a referral (RFC 2308 section 2.2) by a server that does not recurse for us. */
  return reply->has_servers ? DNSMSG_REFUSED : DNSMSG_NODATA;
}

/* What a reply with NOERROR or NXDOMAIN says. */
static enum dnsmsg_outcome read_verdict(const struct reply *reply, struct dnsmsg *out) {
  switch (follow_chain(reply, out)) {
  case CHAIN_LOOP:
    return DNSMSG_LOOP;
  case CHAIN_MALFORMED:
    return DNSMSG_MALFORMED;
  case CHAIN_STEP:
  case CHAIN_END:
    break;
  }
  if (reply->rcode == RCODE_NOERROR && !read_answers(reply, out))
    return DNSMSG_MALFORMED;
  if (out->mx_count > 0 || out->address_count > 0)
    return DNSMSG_ANSWER;
  return read_denial(reply, out);
}

static enum dnsmsg_outcome read_reply(struct reply *reply, const char *qname, struct dnsmsg *out) {
  uint16_t question_count;
  if (!read_header(reply, &question_count, out) || question_count > 1 ||
      (question_count == 1 && !read_question(reply, qname)) || !survey(reply, out))
    return DNSMSG_MALFORMED;
  switch (reply->rcode) {
  case RCODE_NOERROR:
  case RCODE_NXDOMAIN:
    return question_count == 1 ? read_verdict(reply, out) : DNSMSG_MALFORMED;
  case RCODE_FORMERR:
    return DNSMSG_FORMERR;
  case RCODE_SERVFAIL:
    return DNSMSG_SERVFAIL;
  case RCODE_NOTIMP:
    return DNSMSG_NOTIMP;
  case RCODE_REFUSED:
    return DNSMSG_REFUSED;
  default:
    return DNSMSG_OTHER_RCODE;
  }
}

/* All of `out` but the arrays, which are large and of which the counts say what is there. */
static void clear(struct dnsmsg *out, const char *qname, uint16_t qtype) {
  memset(out, 0, offsetof(struct dnsmsg, mx));
  memcpy(out->canonical, qname, strlen(qname) + 1);
  out->ttl_s = UINT32_MAX;
  out->address_length = qtype == DNSMSG_A ? 4 : qtype == DNSMSG_AAAA ? 16 : 0;
}

void dnsmsg_parse(const uint8_t *message, size_t length, const char *qname, uint16_t qtype,
                  struct dnsmsg *out) {
  assert(strlen(qname) < DNSMSG_NAME_SIZE);
  assert(qtype == DNSMSG_MX || qtype == DNSMSG_A || qtype == DNSMSG_AAAA);
  struct reply reply = {.reader = {message, length, 0}, .qtype = qtype};
  clear(out, qname, qtype);
  enum dnsmsg_outcome outcome = read_reply(&reply, qname, out);
  /* Nothing that a broken message seemed to say is left for a caller to believe. */
  if (outcome == DNSMSG_MALFORMED)
    clear(out, qname, qtype);
  out->outcome = outcome;
}
