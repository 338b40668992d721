#include "rules/verdict.h"

#include <stddef.h>

struct row {
  const char *name;
  struct smtp_status smtp;
  struct smtp_status transient; /* of a verdict that has both classes */
};

static const struct row rows[] = {
    [VERDICT_ROUTE] = {"ROUTE", {0, ""}, {0, NULL}},
    [VERDICT_NULL_MX] = {"NULL_MX", {556, "5.1.10"}, {0, NULL}},
    [VERDICT_NO_SUCH_DOMAIN] = {"NO_SUCH_DOMAIN", {550, "5.1.2"}, {0, NULL}},
    [VERDICT_NO_MAIL_HOST] = {"NO_MAIL_HOST", {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_MX_HOSTS_NO_ADDRESS] = {"MX_HOSTS_NO_ADDRESS", {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_MX_HOSTS_TEMPFAIL] = {"MX_HOSTS_TEMPFAIL", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_MX_ALL_INVALID] = {"MX_ALL_INVALID", {550, "5.4.4"}, {0, NULL}},
    [VERDICT_NO_ROUTABLE_ADDRESS] = {"NO_ROUTABLE_ADDRESS", {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_LOOP_SELF_BEST] = {"LOOP_SELF_BEST", {554, "5.4.6"}, {0, NULL}},
    [VERDICT_PRIMARY_UNRESOLVED] = {"PRIMARY_UNRESOLVED", {451, "4.4.4"}, {0, NULL}},
    [VERDICT_INVALID_NAME] = {"INVALID_NAME", {501, "5.1.2"}, {0, NULL}},
    [VERDICT_DNS_SERVFAIL] = {"DNS_SERVFAIL", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_REFUSED] = {"DNS_REFUSED", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_TIMEOUT] = {"DNS_TIMEOUT", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_NETWORK] = {"DNS_NETWORK", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_MALFORMED] = {"DNS_MALFORMED", {451, "4.4.3"}, {0, NULL}},
    [VERDICT_CNAME_LOOP] = {"CNAME_LOOP", {451, "4.4.4"}, {0, NULL}},
    [VERDICT_OVERLOAD] = {"OVERLOAD", {451, "4.3.2"}, {0, NULL}},
    [VERDICT_SHUTDOWN] = {"SHUTDOWN", {451, "4.3.2"}, {0, NULL}},
    [VERDICT_DEADLINE] = {"DEADLINE", {451, "4.3.2"}, {0, NULL}},
    [VERDICT_NOT_CACHED] = {"NOT_CACHED", {451, "4.3.2"}, {0, NULL}},
    [VERDICT_BAD_REQUEST] = {"BAD_REQUEST", {501, "5.5.4"}, {0, NULL}},
    [VERDICT_REJECTED] = {"REJECTED", {550, "5.7.1"}, {0, NULL}},
};

const char *verdict_name(enum verdict verdict) { return rows[verdict].name; }

struct smtp_status verdict_smtp(enum verdict verdict, int transient) {
  const struct row *row = &rows[verdict];
  return transient && row->transient.code ? row->transient : row->smtp;
}
