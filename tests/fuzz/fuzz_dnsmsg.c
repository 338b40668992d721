/* Any octets as a reply to the question they hold, for each type we ask; and what the C library's reader
 * makes of the same octets. */
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "dns/dnsmsg.h"
#include "dnsmsg_invariants.h"

enum { SIZE_MAX_READ = 65535 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ns_initparse wants no octets behind the message. */
static bool parse_whole(const uint8_t *bytes, size_t length, ns_msg *message) {
  for (; length >= NS_HFIXEDSZ; length--)
    if (ns_initparse(bytes, (int)length, message) == 0)
      return true;
  return false;
}

/* Names come with escapes, which stand before octets that are themselves. */
static void unescape(char *text) {
  char *to = text;
  for (const char *from = text; *from; from++) {
    if (*from == '\\' && from[1])
      from++;
    *to++ = *from;
  }
  *to = '\0';
}

/* How many records of the type the chain's end owns; -1 where the library cannot read one. */
static int count_records(ns_msg *message, const struct dnsmsg *out, uint16_t qtype) {
  int count = 0;
  for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
    ns_rr record;
    if (ns_parserr(message, ns_s_an, i, &record) != 0)
      return -1;
    char owner[NS_MAXDNAME];
    snprintf(owner, sizeof(owner), "%s", ns_rr_name(record));
    unescape(owner);
    const char *name = strcmp(owner, ".") == 0 ? "" : owner;
    count += ns_rr_type(record) == qtype && ns_rr_class(record) == ns_c_in &&
             strcasecmp(name, out->canonical) == 0;
  }
  return count;
}

/* What we take for whole, the library does, too; and it finds the records that we find. */
static const char *disagreement(const uint8_t *bytes, size_t length, const struct dnsmsg *out,
                                uint16_t qtype) {
  ns_msg message;
  if (out->outcome == DNSMSG_MALFORMED)
    return NULL;
  if (!parse_whole(bytes, length, &message))
    return "the C library takes it for broken";
  if (out->outcome != DNSMSG_ANSWER)
    return NULL;
  int count = count_records(&message, out, qtype);
  if (qtype == DNSMSG_MX && count != out->mx_count && !(out->cut && count > DNSMSG_MX_MAX))
    return "the C library finds another number of exchanges";
  return qtype != DNSMSG_MX && count < out->address_count ? "the C library finds fewer addresses" : NULL;
}

static void stop_if(const char *broken) {
  if (!broken)
    return;
  fprintf(stderr, "broken: %s\n", broken);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint16_t types[] = {DNSMSG_MX, DNSMSG_A, DNSMSG_AAAA};
  static struct dnsmsg out;
  static uint8_t changed[SIZE_MAX_READ];
  char name[DNSMSG_NAME_SIZE];
  if (size > SIZE_MAX_READ)
    return 0;
  dnsmsg_question_name(data, size, name);
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
    dnsmsg_parse(data, size, name, types[i], &out);
    stop_if(disagreement(data, size, &out, types[i]));
  }
  memcpy(changed, data, size);
  stop_if(dnsmsg_check_foreign(changed, size));
  return 0;
}
