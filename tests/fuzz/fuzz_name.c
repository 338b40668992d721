/* Any octets as a client's domain; the first octet chooses the policy. */
#include <assert.h>
#include <string.h>

#include "name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct name *name, const struct name_policy *policy) {
  struct name again;
  assert(name->length >= 1 && strlen(name->text) == name->length);
  for (size_t i = 0; i < name->length; i++)
    assert(name->text[i] > 0x20 && name->text[i] < 0x7f && !(name->text[i] >= 'A' && name->text[i] <= 'Z') &&
           name->text[i] != '@' && name->text[i] != '\\');
  size_t address_length = name_as_address(name->text, name->length, again.address);
  assert(address_length == name->address_length);
  if (name->kind == NAME_LITERAL) {
    assert(memcmp(again.address, name->address, address_length) == 0);
    return;
  }
  /* A canonical name is its own canonical form. */
  assert(name_parse((const uint8_t *)name->text, name->length, policy, &again) == NAME_OK);
  assert(strcmp(again.text, name->text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  const struct name_policy policy = {.accept_bare_ip = data[0] & 1, .allow_single_label = data[0] & 2};
  struct name name;
  enum name_error error = name_parse(data + 1, size - 1, &policy, &name);
  if (error == NAME_OK)
    check(&name, &policy);
  else
    assert(name_error_text(error));
  return 0;
}
