#include "rules/name.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__SSE2__) && !defined(MXWAY_NO_VECTORS)
#include <emmintrin.h>
#endif

#include "base/random.h"

static const char ipv6_tag[] = "IPv6:"; /* RFC 5321 section 4.1.3 */
enum { IPV6_TAG_LENGTH = sizeof(ipv6_tag) - 1 };

static uint64_t hash_seed;

/* A backslash is legal in DNS, but the text form of names reads it as an escape
 * (RFC 1035 section 5.1): it would reach the resolver as another name. */
static bool is_allowed(uint8_t octet) {
  return octet > 0x20 && octet < 0x7f && octet != '@' && octet != '\\';
}

/* ---- the usual name, many octets at a time: letters, digits, '-', '.', '/', of no great length ----
 *
 * copy_usual copies in lower case a text of HALF to USUAL_MAX octets, in which no label can be too long, and
 * sees whether it has dots. False where anything is not usual: the octets one by one will tell. The last
 * octets may be copied twice. */

enum { TOP = 0x80, HALF = 8, USUAL_MAX = NAME_LABEL_MAX };

#if defined(__SSE2__) && !defined(MXWAY_NO_VECTORS)
enum { VECTOR = 2 * HALF, VECTOR_ALL = 0xffff };

/* All ones in each octet that is one of the `count` from `first` on. */
static inline __m128i among(__m128i octets, uint8_t first, uint8_t count) {
  return _mm_cmplt_epi8(_mm_add_epi8(octets, _mm_set1_epi8((char)(TOP - first))),
                        _mm_set1_epi8((char)(count - TOP)));
}

/* Makes octets lower case; `dots` has a bit for each that is one. False where one is not usual. */
static inline bool fold(__m128i *octets, uint64_t *dots) {
  __m128i lower = _mm_or_si128(*octets, _mm_and_si128(among(*octets, 'A', 26), _mm_set1_epi8(0x20)));
  __m128i usual = _mm_or_si128(among(lower, 'a', 26), among(lower, '-', '9' + 1 - '-'));
  *octets = lower;
  *dots = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(lower, _mm_set1_epi8('.')));
  return _mm_movemask_epi8(usual) == VECTOR_ALL;
}

/* HALF to VECTOR octets: the first half of the vector is those of the text, the second its last ones. */
static inline bool copy_halves(const uint8_t *text, size_t length, char *out, uint64_t *dots) {
  size_t from = length - HALF;
  __m128i octets = _mm_unpacklo_epi64(_mm_loadu_si64(text), _mm_loadu_si64(text + from));
  uint64_t found;
  if (!fold(&octets, &found))
    return false;
  _mm_storeu_si64(out, octets);
  _mm_storeu_si64(out + from, _mm_unpackhi_epi64(octets, octets));
  *dots = (found & 0xff) | found >> HALF << from;
  return true;
}

/* More than VECTOR. */
static inline bool copy_vectors(const uint8_t *text, size_t length, char *out, uint64_t *dots) {
  *dots = 0;
  for (size_t at = 0; at < length; at += VECTOR) {
    size_t from = at + VECTOR <= length ? at : length - VECTOR;
    __m128i octets = _mm_loadu_si128((const __m128i *)(const void *)(text + from));
    uint64_t found;
    if (!fold(&octets, &found))
      return false;
    _mm_storeu_si128((__m128i *)(void *)(out + from), octets);
    *dots |= found << from;
  }
  return true;
}

static bool copy_usual(const uint8_t *text, size_t length, char *out, bool *has_dot) {
  uint64_t dots; /* a bit for each octet */
  if (!(length <= VECTOR ? copy_halves(text, length, out, &dots) : copy_vectors(text, length, out, &dots)))
    return false;
  uint64_t ends = UINT64_C(1) | UINT64_C(1) << (length - 1);
  *has_dot = dots != 0;
  return !(dots & (dots << 1 | ends));
}

#else

/* A word holds eight octets, each below 0x80 where these are asked; a mask has the top bit of each octet for
 * which something is true. */

static uint64_t each(uint8_t octet) { return UINT64_C(0x0101010101010101) * octet; }

static uint64_t at_least(uint64_t word, uint8_t octet) {
  return (word + each((uint8_t)(TOP - octet))) & each(TOP);
}

static uint64_t equal(uint64_t word, uint8_t octet) { return at_least(word ^ each(octet), 1) ^ each(TOP); }

/* The octets of the word that come before others in memory are its low ones. */
static uint64_t load_word(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

static void store_word(char *at, uint64_t word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  memcpy(at, &word, sizeof(word));
}

static bool copy_usual(const uint8_t *text, size_t length, char *out, bool *has_dot) {
  uint64_t before = TOP; /* whether the octet before the word is a dot: as if there were one */
  uint64_t dotted = 0;
  for (size_t at = 0; at < length; at += HALF) {
    size_t from = at + HALF <= length ? at : length - HALF;
    uint64_t word = load_word(text + from), folded = word | each(0x20), dots = equal(word, '.');
    uint64_t letters = at_least(folded, 'a') & ~at_least(folded, 'z' + 1);
    uint64_t others = at_least(folded, '-') & ~at_least(folded, '9' + 1) & at_least(word, 0x21);
    uint64_t shifted = dots << 8 | (from == at ? before : 0);
    if (word & each(TOP) || (letters | others) != each(TOP) || dots & shifted)
      return false;
    dotted |= dots;
    before = dots >> 56;
    store_word(out + from, word | letters >> 2); /* 0x80 to 0x20 */
  }
  *has_dot = dotted != 0;
  return !before;
}
#endif

/* ---- octet by octet ---- */

static char lower(uint8_t octet) { return (char)((uint8_t)(octet - 'A') < 26 ? octet | 0x20 : octet); }

/* Copies a name in lower case while checking it. NAME_BAD_IDN: there is an octet that
 * is not ASCII, so that IDNA has to look at the name first. */
static enum name_error copy_ascii(const uint8_t *text, size_t length, struct name *out) {
  if (length > 0 && text[length - 1] == '.')
    length--;
  if (length == 0)
    return NAME_EMPTY;
  if (length > NAME_TEXT_MAX)
    return NAME_TOO_LONG;
  size_t label_length = 0;
  for (size_t i = 0; i < length; i++) {
    uint8_t octet = text[i];
    if (octet == '.') {
      if (label_length == 0)
        return NAME_EMPTY_LABEL;
      label_length = 0;
    } else if (is_allowed(octet)) {
      if (++label_length > NAME_LABEL_MAX)
        return NAME_LABEL_TOO_LONG;
    } else {
      return octet < 0x80 ? NAME_BAD_CHARACTER : NAME_BAD_IDN;
    }
    out->text[i] = lower(octet);
  }
  if (label_length == 0)
    return NAME_EMPTY_LABEL;
  out->text[length] = '\0';
  out->length = (uint8_t)length;
  return NAME_OK;
}

static enum name_error idn_error(int status) {
  switch (status) {
  case IDN2_OK:
    return NAME_OK;
  case IDN2_TOO_BIG_DOMAIN:
    return NAME_TOO_LONG;
  case IDN2_TOO_BIG_LABEL:
  case IDN2_PUNYCODE_BIG_OUTPUT:
    return NAME_LABEL_TOO_LONG;
  default:
    return NAME_BAD_IDN;
  }
}

/* What UTS 46 makes of the text is judged again by the ASCII rules: it maps other
 * scripts' full stops, spaces and signs to ASCII ones. STD3 rules would refuse '_' (RFC 2181
 * section 11); the round trip would be a second opinion on A-labels, which are not doubted in a
 * name that is all ASCII either. copy_ascii has bounded the length. */
static enum name_error copy_idn(const uint8_t *text, size_t length, struct name *out) {
  uint8_t terminated[NAME_TEXT_MAX + 2]; /* 253 octets, a dot and the terminator */
  if (memchr(text, '\0', length))
    return NAME_BAD_CHARACTER;
  memcpy(terminated, text, length);
  terminated[length] = '\0';
  uint8_t *ascii = NULL;
  enum name_error error = idn_error(
      idn2_lookup_u8(terminated, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_NO_ALABEL_ROUNDTRIP));
  if (error != NAME_OK)
    return error;
  error = copy_ascii(ascii, strlen((const char *)ascii), out);
  idn2_free(ascii);
  return error;
}

/* inet_pton of a text without a terminator. */
static bool parse_address(int family, const char *text, size_t length, uint8_t address[NAME_ADDRESS_MAX]) {
  char terminated[INET6_ADDRSTRLEN];
  if (length >= sizeof(terminated) || memchr(text, '\0', length))
    return false;
  memcpy(terminated, text, length);
  terminated[length] = '\0';
  return inet_pton(family, terminated, address) == 1;
}

/* The address is already in `out`. */
static void make_literal(struct name *out, int family) {
  inet_ntop(family, out->address, out->text, sizeof(out->text));
  out->kind = NAME_LITERAL;
  out->length = (uint8_t)strlen(out->text);
  out->address_length = family == AF_INET ? 4 : 16;
}

/* `text` begins with a bracket. */
static enum name_error parse_literal(const char *text, size_t length, struct name *out) {
  if (length < 2 || text[length - 1] != ']')
    return NAME_BAD_LITERAL;
  const char *inner = text + 1;
  size_t inner_length = length - 2;
  int family = AF_INET;
  if (inner_length >= IPV6_TAG_LENGTH && strncasecmp(inner, ipv6_tag, IPV6_TAG_LENGTH) == 0) {
    family = AF_INET6;
    inner += IPV6_TAG_LENGTH;
    inner_length -= IPV6_TAG_LENGTH;
  }
  if (!parse_address(family, inner, inner_length, out->address))
    return NAME_BAD_LITERAL;
  make_literal(out, family);
  return NAME_OK;
}

/* Takes what is a domain whatever the policy, fast: several labels, and by its end no address. */
static bool parse_usual(const uint8_t *text, size_t length, struct name *out) {
  bool has_dot;
  if (length > 0 && text[length - 1] == '.')
    length--;
  if (length < HALF || length > USUAL_MAX || !copy_usual(text, length, out->text, &has_dot))
    return false;
  bool may_be_address = (uint8_t)(out->text[length - 1] - '0') < 10;
  if (may_be_address || !has_dot)
    return false;
  out->text[length] = '\0';
  out->length = (uint8_t)length;
  out->kind = NAME_DOMAIN;
  out->address_length = 0;
  return true;
}

enum name_error name_parse(const uint8_t *text, size_t length, const struct name_policy *policy,
                           struct name *out) {
  if (length > 0 && text[0] == '[')
    return parse_literal((const char *)text, length, out);
  if (parse_usual(text, length, out))
    return NAME_OK;
  enum name_error error = copy_ascii(text, length, out);
  if (error == NAME_BAD_IDN)
    error = copy_idn(text, length, out);
  if (error != NAME_OK)
    return error;
  /* IDNA can make a bracket of another script's; nobody who means a literal writes one so. */
  if (out->text[0] == '[')
    return NAME_BAD_LITERAL;
  size_t address_length = name_as_address(out->text, out->length, out->address);
  if (address_length > 0) {
    if (!policy->accept_bare_ip)
      return NAME_BARE_ADDRESS;
    make_literal(out, address_length == 4 ? AF_INET : AF_INET6);
    return NAME_OK;
  }
  if (!policy->allow_single_label && !memchr(out->text, '.', out->length))
    return NAME_SINGLE_LABEL;
  out->kind = NAME_DOMAIN;
  out->address_length = 0;
  return NAME_OK;
}

const char *name_error_text(enum name_error error) {
  switch (error) {
  case NAME_OK:
    return "the name is valid";
  case NAME_EMPTY:
    return "the name is empty";
  case NAME_TOO_LONG:
    return "the name is longer than 253 octets";
  case NAME_LABEL_TOO_LONG:
    return "a label is longer than 63 octets";
  case NAME_EMPTY_LABEL:
    return "a label is empty";
  case NAME_BAD_CHARACTER:
    return "the name contains a space, a control character, '@' or a backslash";
  case NAME_BAD_IDN:
    return "the name is not a valid internationalized domain name in UTF-8";
  case NAME_BAD_LITERAL:
    return "the address literal is malformed";
  case NAME_BARE_ADDRESS:
    return "an IP address must be written in brackets";
  case NAME_SINGLE_LABEL:
    return "the name has a single label";
  }
  return "unknown error";
}

bool name_is_below(const char *text, size_t length, const struct name *suffix) {
  if (length < suffix->length || memcmp(text + length - suffix->length, suffix->text, suffix->length) != 0)
    return false;
  return length == suffix->length || text[length - suffix->length - 1] == '.';
}

size_t name_as_address(const char *text, size_t length, uint8_t address[NAME_ADDRESS_MAX]) {
  if (length == 0)
    return 0;
  /* Almost no name passes these two glances, so that a hit pays no inet_pton. */
  if ((uint8_t)(text[length - 1] - '0') < 10 && parse_address(AF_INET, text, length, address))
    return 4;
  if (memchr(text, ':', length) && parse_address(AF_INET6, text, length, address))
    return 16;
  return 0;
}

bool name_ends_in_special_use(const char *text, size_t length) {
  static const struct {
    size_t length;
    char text[10];
  } labels[] = {{3, "alt"}, {5, "local"}, {5, "onion"}, {7, "invalid"}, {9, "localhost"}};
  const char *dot = memrchr(text, '.', length);
  const char *last = dot ? dot + 1 : text;
  size_t last_length = length - (size_t)(last - text);
  for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
    if (labels[i].length == last_length && memcmp(last, labels[i].text, last_length) == 0)
      return true;
  return false;
}

void name_hash_init(void) { random_bytes(&hash_seed, sizeof(hash_seed)); }

uint64_t name_hash(const char *text, size_t length) { return XXH3_64bits_withSeed(text, length, hash_seed); }
