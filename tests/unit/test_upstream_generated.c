#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generated.h"

enum { EXCHANGES = 8, DOMAINS = 20000 };

struct seen {
  size_t count;
  uint32_t ttl;
  uint16_t preferences[EXCHANGES];
  struct dname hosts[EXCHANGES];
  uint64_t hash; /* of all octets */
};

static void see(void *context, const struct dname *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
                size_t rdata_length) {
  struct seen *seen = context;
  size_t at = 2;
  assert_true(seen->count < EXCHANGES);
  seen->ttl = ttl;
  seen->hash = dname_mix(seen->hash, dname_hash(owner, type) ^ ttl);
  for (size_t i = 0; i < rdata_length; i++)
    seen->hash = dname_mix(seen->hash, rdata[i]);
  if (type == TYPE_MX) {
    seen->preferences[seen->count] = (uint16_t)(rdata[0] << 8 | rdata[1]);
    assert_true(dname_read(rdata, rdata_length, &at, &seen->hosts[seen->count]));
    assert_int_equal(at, rdata_length);
  }
  seen->count++;
}

static struct dname name_of(const char *text) {
  struct dname name;
  assert_true(dname_parse(text, strlen(text), NULL, &name));
  return name;
}

static struct dname domain_of(unsigned index) {
  char text[64];
  snprintf(text, sizeof(text), "d%u.bench.test", index);
  return name_of(text);
}

static enum found look(const struct generated *generated, const struct dname *name, uint16_t type,
                       struct seen *seen) {
  *seen = (struct seen){.count = 0};
  return generated_find(generated, name, type, see, seen);
}

static enum found look_text(const struct generated *generated, const char *text, uint16_t type,
                            struct seen *seen) {
  struct dname name = name_of(text);
  return look(generated, &name, type, seen);
}

static uint64_t hash_of_all(uint64_t seed) {
  struct generated *generated = generated_create(seed, GENERATED_SETS_DEFAULT, -1);
  uint64_t hash = 0;
  struct seen seen;
  for (unsigned i = 0; i < 1000; i++) {
    struct dname name = domain_of(i);
    look(generated, &name, TYPE_MX, &seen);
    hash = dname_mix(hash, seen.hash);
    look(generated, &name, TYPE_A, &seen);
    hash = dname_mix(hash, seen.hash);
  }
  generated_destroy(generated);
  return hash;
}

static void the_same_seed_makes_the_same_zone(void **state) {
  (void)state;
  assert_true(hash_of_all(1) == hash_of_all(1));
  assert_true(hash_of_all(1) != hash_of_all(2));
}

static void assert_share(const char *what, unsigned count, double least, double most) {
  double share = (double)count / DOMAINS;
  if (share < least || share > most)
    fail_msg("%s: a share of %.4f, not of %.3f to %.3f", what, share, least, most);
}

static int compare_hosts(const void *a, const void *b) { return memcmp(a, b, sizeof(uint64_t)); }

static void domains_are_shared_out_as_described(void **state) {
  (void)state;
  static uint64_t sets[DOMAINS];
  struct generated *generated = generated_create(1, GENERATED_SETS_DEFAULT, -1);
  unsigned null_mx = 0, no_mx = 0, own = 0, shared = 0, several = 0, big = 0;
  for (unsigned i = 0; i < DOMAINS; i++) {
    struct seen seen;
    struct dname name = domain_of(i);
    if (look(generated, &name, TYPE_MX, &seen) == FOUND_NODATA) {
      no_mx++;
      assert_int_equal(look(generated, &name, TYPE_A, &seen), FOUND_RECORDS);
    } else if (seen.hosts[0].length == 1) {
      null_mx++;
      assert_int_equal(seen.count, 1);
      assert_int_equal(seen.preferences[0], 0);
    } else if (dname_is_within(&seen.hosts[0], &name)) {
      own++;
    } else {
      several += seen.count > 1;
      sets[shared] = seen.count;
      for (size_t j = 0; j < seen.count; j++)
        sets[shared] = dname_mix(sets[shared], dname_hash(&seen.hosts[j], seen.preferences[j]));
      shared++;
    }
  }
  assert_share("null MX", null_mx, 0.015, 0.025);
  assert_share("no MX", no_mx, 0.04, 0.06);
  assert_share("own", own, 0.23, 0.27);
  assert_share("shared", shared, 0.65, 0.71);
  assert_share("more than one exchange", several, 0.3, 0.7);
  qsort(sets, shared, sizeof(sets[0]), compare_hosts);
  unsigned kinds = 0, run = 0;
  for (unsigned i = 0; i < shared; i++) {
    bool is_new = i == 0 || sets[i] != sets[i - 1];
    kinds += is_new;
    run = is_new ? 1 : run + 1;
    big = run > big ? run : big;
  }
  /* A few serve most, many serve few. */
  assert_share("domains of the biggest set", big, 0.08, 0.25);
  assert_true(kinds > 1000 && kinds <= GENERATED_SETS_DEFAULT);
  generated_destroy(generated);
}

static void every_exchange_has_an_address(void **state) {
  (void)state;
  struct generated *generated = generated_create(1, GENERATED_SETS_DEFAULT, -1);
  unsigned hosts = 0, with_ipv6 = 0;
  for (unsigned i = 0; i < 5000; i++) {
    struct seen seen, addresses;
    struct dname name = domain_of(i);
    look(generated, &name, TYPE_MX, &seen);
    for (size_t j = 0; j < seen.count && seen.hosts[j].length > 1; j++) {
      assert_int_equal(look(generated, &seen.hosts[j], TYPE_A, &addresses), FOUND_RECORDS);
      with_ipv6 += look(generated, &seen.hosts[j], TYPE_AAAA, &addresses) == FOUND_RECORDS;
      hosts++;
      assert_int_equal(look(generated, &seen.hosts[j], TYPE_MX, &addresses), FOUND_NODATA);
    }
  }
  assert_in_range(with_ipv6 * 100 / hosts, 40, 60);
  generated_destroy(generated);
}

static void names_are_what_the_header_says(void **state) {
  (void)state;
  static const struct {
    const char *name;
    uint16_t type;
    enum found expected;
  } cases[] = {
      {"bench.test", TYPE_SOA, FOUND_RECORDS},
      {"bench.test", TYPE_NS, FOUND_RECORDS},
      {"bench.test", TYPE_A, FOUND_NODATA},
      {"bench.test", TYPE_MX, FOUND_NODATA},
      {"ns.bench.test", TYPE_A, FOUND_RECORDS},
      {"mail.bench.test", TYPE_A, FOUND_RECORDS},
      {"d7.bench.test", TYPE_A, FOUND_RECORDS},
      {"d7.bench.test", TYPE_TXT, FOUND_NODATA},
      {"u7-12-a.bench.test", TYPE_A, FOUND_RECORDS},
      {"n7.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"d07.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"d.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"d7x.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"u.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"www.d7.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"p0.mail.bench.test", TYPE_A, FOUND_NODATA},
      {"p1250.mail.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"mx1.p0.mail.bench.test", TYPE_A, FOUND_RECORDS},
      {"mx0.p0.mail.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"mx9.p0.mail.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"mx1.p1250.mail.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"test", TYPE_A, FOUND_OUTSIDE},
      {"a.mx1.p0.mail.bench.test", TYPE_A, FOUND_NXDOMAIN},
      {"xbench.test", TYPE_A, FOUND_OUTSIDE},
      {".", TYPE_A, FOUND_OUTSIDE},
  };
  struct generated *generated = generated_create(1, GENERATED_SETS_DEFAULT, -1);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct seen seen;
    enum found found = look_text(generated, cases[i].name, cases[i].type, &seen);
    if (found != cases[i].expected)
      fail_msg("%s %s: %d, expected %d", cases[i].name, record_type_text(cases[i].type), (int)found,
               (int)cases[i].expected);
    assert_int_equal(seen.count > 0, found == FOUND_RECORDS);
  }
  generated_destroy(generated);
}

static void ttls_are_realistic_or_as_ordered(void **state) {
  (void)state;
  struct generated *generated = generated_create(1, GENERATED_SETS_DEFAULT, -1);
  struct generated *fixed = generated_create(1, GENERATED_SETS_DEFAULT, 0);
  unsigned hours = 0;
  struct seen seen;
  for (unsigned i = 0; i < 2000; i++) {
    struct dname name = domain_of(i);
    assert_int_equal(look(generated, &name, TYPE_A, &seen), FOUND_RECORDS);
    assert_in_range(seen.ttl, 60, 86400);
    hours += seen.ttl == 3600;
    look(fixed, &name, TYPE_A, &seen);
    assert_int_equal(seen.ttl, 0);
  }
  assert_in_range(hours, 2000 * 27 / 100, 2000 * 37 / 100);
  seen.count = 0;
  generated_put_soa(fixed, see, &seen);
  assert_int_equal(seen.ttl, 0);
  generated_destroy(generated);
  generated_destroy(fixed);
}

static void one_set_is_enough(void **state) {
  (void)state;
  struct generated *generated = generated_create(1, 1, -1);
  struct seen seen;
  for (unsigned i = 0; i < 1000; i++) {
    struct dname name = domain_of(i), provider = name_of("p0.mail.bench.test");
    if (look(generated, &name, TYPE_MX, &seen) == FOUND_RECORDS && seen.count == 5)
      assert_true(dname_is_within(&seen.hosts[0], &provider));
  }
  generated_destroy(generated);
}

static void with_all_sharing_every_domain_has_a_shared_set(void **state) {
  (void)state;
  struct generated *generated = generated_create(1, 50, -1);
  generated_share_all(generated);
  for (unsigned i = 0; i < 2000; i++) {
    struct dname name = domain_of(i), mail = name_of("mail.bench.test");
    struct seen seen;
    assert_int_equal(look(generated, &name, TYPE_MX, &seen), FOUND_RECORDS);
    for (size_t j = 0; j < seen.count; j++)
      assert_true(dname_is_within(&seen.hosts[j], &mail));
  }
  generated_destroy(generated);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_same_seed_makes_the_same_zone),
      cmocka_unit_test(domains_are_shared_out_as_described),
      cmocka_unit_test(every_exchange_has_an_address),
      cmocka_unit_test(names_are_what_the_header_says),
      cmocka_unit_test(ttls_are_realistic_or_as_ordered),
      cmocka_unit_test(one_set_is_enough),
      cmocka_unit_test(with_all_sharing_every_domain_has_a_shared_set),
  };
  return cmocka_run_group_tests_name("upstream_generated", tests, NULL, NULL);
}
