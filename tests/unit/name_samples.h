/*
 * name_samples: a text of each kind that a client may send as a domain.
 *
 * For the unit test, which asserts what becomes of each, and the fuzzer, which starts from them. A policy of
 * name_parse that accepts all is meant.
 */
#ifndef MXWAY_TESTS_NAME_SAMPLES_H
#define MXWAY_TESTS_NAME_SAMPLES_H

#include "rules/name.h"

struct name_sample {
  const char *text;
  enum name_error error;
  const char *canonical; /* with NAME_OK */
};

#define NAME_LABEL_OF_63 "aaaaaaaaabbbbbbbbbcccccccccdddddddddeeeeeeeeefffffffffggggggggg"

static const struct name_sample name_samples[] = {
    {"example.com", NAME_OK, "example.com"},
    {"EXAMPLE.Com.", NAME_OK, "example.com"},
    {"localhost", NAME_OK, "localhost"},
    {"_dmarc.-a-.x_.test", NAME_OK, "_dmarc.-a-.x_.test"},
    {"*.test", NAME_OK, "*.test"},
    {"xn--bcher-kva.test", NAME_OK, "xn--bcher-kva.test"},
    {"XN--BCHER-KVA.b\u00fccher.test", NAME_OK, "xn--bcher-kva.xn--bcher-kva.test"},
    {"bu\u0308cher.test", NAME_OK, "xn--bcher-kva.test"},
    {"fa\u00df.de", NAME_OK, "xn--fa-hia.de"},
    {"\u65e5\u672c\u8a9e\u3002\uff2a\uff30", NAME_OK, "xn--wgv71a119e.jp"},
    {"a\u00adb.test\uff61", NAME_OK, "ab.test"},
    {"\u05d0\u05d1.test", NAME_OK, "xn--4dbc.test"},
    {"xn--ls8h.test", NAME_OK, "xn--ls8h.test"},
    {"[192.0.2.1]", NAME_OK, "192.0.2.1"},
    {"192.0.2.1", NAME_OK, "192.0.2.1"},
    {"\uff11\uff19\uff12.0.2.1", NAME_OK, "192.0.2.1"},
    {"[IPv6:2001:DB8:0:0:0:0:0:1]", NAME_OK, "2001:db8::1"},
    {"2001:db8::1", NAME_OK, "2001:db8::1"},
    {"[IPv6:::ffff:192.0.2.1]", NAME_OK, "::ffff:192.0.2.1"},
    {NAME_LABEL_OF_63 "." NAME_LABEL_OF_63 "." NAME_LABEL_OF_63 "." NAME_LABEL_OF_63, NAME_TOO_LONG, NULL},
    {NAME_LABEL_OF_63 "x.test", NAME_LABEL_TOO_LONG, NULL},
    {"\u00fc" NAME_LABEL_OF_63 ".test", NAME_LABEL_TOO_LONG, NULL},
    {"", NAME_EMPTY, NULL},
    {".", NAME_EMPTY, NULL},
    {"a..test", NAME_EMPTY_LABEL, NULL},
    {"b\u00fccher.test..", NAME_EMPTY_LABEL, NULL},
    {"a b.test", NAME_BAD_CHARACTER, NULL},
    {"user@d.test", NAME_BAD_CHARACTER, NULL},
    {"a\uff20\u00fc.test", NAME_BAD_CHARACTER, NULL},
    {"\xff.test", NAME_BAD_IDN, NULL},
    {"b\xc3.test", NAME_BAD_IDN, NULL},
    {"1\u05d0.test", NAME_BAD_IDN, NULL},
    {"\U0001f4a9.test", NAME_BAD_IDN, NULL},
    {"[192.0.2.256]", NAME_BAD_LITERAL, NULL},
    {"[IPv6:2001:db8::1::2]", NAME_BAD_LITERAL, NULL},
    {"[IPv6:fe80::1%lo]", NAME_BAD_LITERAL, NULL},
    {"\uff3b192.0.2.1]", NAME_BAD_LITERAL, NULL},
};

enum { NAME_SAMPLE_COUNT = sizeof(name_samples) / sizeof(name_samples[0]) };

#endif
