/*
 * name_invariants: what holds of every text that is a name, and of every one that is none.
 *
 * For the unit test and the fuzz target alike.
 */
#ifndef MXWAY_TESTS_NAME_INVARIANTS_H
#define MXWAY_TESTS_NAME_INVARIANTS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/name.h"

enum { NAME_SAMPLE_MAX = 4096 }; /* octets of a text whose variations are looked at */

/* Parses a copy that ends where its block ends, so that AddressSanitizer sees a read beyond. */
static inline enum name_error name_parse_copy(const void *text, size_t length,
                                              const struct name_policy *policy, struct name *out) {
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy)
    abort();
  memcpy(copy, text, length);
  memset(out, 0xa5, sizeof(*out));
  enum name_error error = name_parse(copy, length, policy, out);
  free(copy);
  return error;
}

static inline bool name_is_same(const struct name *x, const struct name *y) {
  return x->kind == y->kind && x->length == y->length && strcmp(x->text, y->text) == 0 &&
         x->address_length == y->address_length && memcmp(x->address, y->address, x->address_length) == 0;
}

/* Whether `text` means `name`. */
static inline bool name_means(const void *text, size_t length, const struct name_policy *policy,
                              const struct name *name) {
  struct name other;
  return name_parse_copy(text, length, policy, &other) == NAME_OK && name_is_same(name, &other);
}

static inline const char *name_broken_in_literal(const struct name *name) {
  static const struct name_policy strict;
  char text[INET6_ADDRSTRLEN], written[INET6_ADDRSTRLEN + 8];
  if (name->address_length != 4 && name->address_length != 16)
    return "an address has 4 or 16 octets";
  bool is_v6 = name->address_length == 16;
  inet_ntop(is_v6 ? AF_INET6 : AF_INET, name->address, text, sizeof(text));
  if (strcmp(name->text, text) != 0)
    return "a literal's text is its address";
  int length = snprintf(written, sizeof(written), is_v6 ? "[IPv6:%s]" : "[%s]", text);
  if (!name_means(written, (size_t)length, &strict, name))
    return "a literal in brackets is the same literal";
  return NULL;
}

static inline const char *name_broken_in_domain(const struct name *name, const struct name_policy *policy) {
  char text[NAME_TEXT_MAX + 2];
  size_t label_length = 0;
  uint8_t address[NAME_ADDRESS_MAX];
  if (name->length < 1 || name->length > NAME_TEXT_MAX || name->address_length != 0)
    return "a domain has 1 to 253 octets and no address";
  for (size_t i = 0; i <= name->length; i++) {
    bool ends = i == name->length || name->text[i] == '.';
    if (ends && (label_length < 1 || label_length > NAME_LABEL_MAX))
      return "a label has 1 to 63 octets";
    label_length = ends ? 0 : label_length + 1;
  }
  if (name_as_address(name->text, name->length, address) != 0)
    return "a domain is no address";
  memcpy(text, name->text, name->length);
  text[name->length] = '.';
  if (!name_means(text, name->length, policy, name) || !name_means(text, name->length + 1u, policy, name))
    return "a canonical name is its own canonical form, with a dot or without";
  return NULL;
}

static inline const char *name_broken_in_text(const struct name *name) {
  if (strnlen(name->text, sizeof(name->text)) != name->length)
    return "the text has the length it says";
  for (size_t i = 0; i < name->length; i++) {
    char octet = name->text[i];
    if (octet <= 0x20 || octet >= 0x7f || octet == '@' || octet == '\\' || (octet >= 'A' && octet <= 'Z'))
      return "no control, space, '@', '\\\\' or upper case is in a name";
  }
  return NULL;
}

/* The same text in upper and in lower case, as far as it is ASCII, is the same name or the same error. */
static inline const char *name_broken_in_case(const uint8_t *text, size_t length,
                                              const struct name_policy *policy, enum name_error error,
                                              const struct name *name) {
  uint8_t upper[NAME_SAMPLE_MAX], lower[NAME_SAMPLE_MAX];
  struct name other;
  if (length > NAME_SAMPLE_MAX)
    return NULL;
  for (size_t i = 0; i < length; i++) {
    upper[i] = text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i];
    lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i];
  }
  if (name_parse_copy(upper, length, policy, &other) != error ||
      (error == NAME_OK && !name_is_same(name, &other)) ||
      name_parse_copy(lower, length, policy, &other) != error ||
      (error == NAME_OK && !name_is_same(name, &other)))
    return "the case of ASCII letters makes no difference";
  return NULL;
}

/* A policy only ever admits what it is about. */
static inline const char *name_broken_in_policy(const uint8_t *text, size_t length,
                                                const struct name_policy *policy, enum name_error error,
                                                const struct name *name) {
  static const struct name_policy generous = {.accept_bare_ip = true, .allow_single_label = true};
  struct name other;
  enum name_error generous_error = name_parse_copy(text, length, &generous, &other);
  if (error == NAME_OK ? generous_error != NAME_OK || !name_is_same(name, &other)
      : error == NAME_BARE_ADDRESS
          ? policy->accept_bare_ip || generous_error != NAME_OK || other.kind != NAME_LITERAL
      : error == NAME_SINGLE_LABEL ? policy->allow_single_label || generous_error != NAME_OK ||
                                         other.kind != NAME_DOMAIN || strchr(other.text, '.')
                                   : generous_error != error)
    return "a policy admits what it is about and nothing else";
  return NULL;
}

/* Parses `text`, gives the name or the error, and checks all of the above. Returns the broken rule, or NULL.
 */
static inline const char *name_check(const uint8_t *text, size_t length, const struct name_policy *policy,
                                     struct name *name, enum name_error *error) {
  const char *broken = NULL;
  *error = name_parse_copy(text, length, policy, name);
  if (*error == NAME_OK)
    broken = name_broken_in_text(name);
  if (*error == NAME_OK && !broken)
    broken = name->kind == NAME_LITERAL ? name_broken_in_literal(name) : name_broken_in_domain(name, policy);
  if (!broken)
    broken = name_broken_in_case(text, length, policy, *error, name);
  return broken ? broken : name_broken_in_policy(text, length, policy, *error, name);
}

#endif
