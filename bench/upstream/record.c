#include "record.h"

#include <strings.h>

static const struct {
  const char *text;
  uint16_t type;
} types[] = {{"A", TYPE_A},   {"NS", TYPE_NS},   {"CNAME", TYPE_CNAME}, {"SOA", TYPE_SOA},
             {"MX", TYPE_MX}, {"TXT", TYPE_TXT}, {"AAAA", TYPE_AAAA}};

uint16_t record_type_parse(const char *text) {
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
    if (strcasecmp(types[i].text, text) == 0)
      return types[i].type;
  return 0;
}

const char *record_type_text(uint16_t type) {
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
    if (types[i].type == type)
      return types[i].text;
  return NULL;
}
