#include "verdict.h"

#include <stddef.h>

struct row {
  const char *name;
  enum verdict_class usual;
  struct smtp_status smtp;
  struct smtp_status transient; /* of a verdict that has both classes */
};

static const struct row rows[] = {
    [VERDICT_ROUTE] = {"ROUTE", CLASS_OK, {0, ""}, {0, NULL}},
    [VERDICT_NULL_MX] = {"NULL_MX", CLASS_PERMANENT, {556, "5.1.10"}, {0, NULL}},
    [VERDICT_NO_SUCH_DOMAIN] = {"NO_SUCH_DOMAIN", CLASS_PERMANENT, {550, "5.1.2"}, {0, NULL}},
    [VERDICT_NO_MAIL_HOST] = {"NO_MAIL_HOST", CLASS_PERMANENT, {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_MX_HOSTS_NO_ADDRESS] = {"MX_HOSTS_NO_ADDRESS", CLASS_PERMANENT, {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_MX_HOSTS_TEMPFAIL] = {"MX_HOSTS_TEMPFAIL", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_MX_ALL_INVALID] = {"MX_ALL_INVALID", CLASS_PERMANENT, {550, "5.4.4"}, {0, NULL}},
    [VERDICT_NO_ROUTABLE_ADDRESS] = {"NO_ROUTABLE_ADDRESS", CLASS_PERMANENT, {550, "5.4.4"}, {451, "4.4.4"}},
    [VERDICT_LOOP_SELF_BEST] = {"LOOP_SELF_BEST", CLASS_PERMANENT, {554, "5.4.6"}, {0, NULL}},
    [VERDICT_PRIMARY_UNRESOLVED] = {"PRIMARY_UNRESOLVED", CLASS_TRANSIENT, {451, "4.4.4"}, {0, NULL}},
    [VERDICT_INVALID_NAME] = {"INVALID_NAME", CLASS_PERMANENT, {501, "5.1.2"}, {0, NULL}},
    [VERDICT_DNS_SERVFAIL] = {"DNS_SERVFAIL", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_REFUSED] = {"DNS_REFUSED", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_TIMEOUT] = {"DNS_TIMEOUT", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_NETWORK] = {"DNS_NETWORK", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_DNS_MALFORMED] = {"DNS_MALFORMED", CLASS_TRANSIENT, {451, "4.4.3"}, {0, NULL}},
    [VERDICT_CNAME_LOOP] = {"CNAME_LOOP", CLASS_TRANSIENT, {451, "4.4.4"}, {0, NULL}},
    [VERDICT_OVERLOAD] = {"OVERLOAD", CLASS_TRANSIENT, {451, "4.3.2"}, {0, NULL}},
    [VERDICT_SHUTDOWN] = {"SHUTDOWN", CLASS_TRANSIENT, {451, "4.3.2"}, {0, NULL}},
    [VERDICT_DEADLINE] = {"DEADLINE", CLASS_TRANSIENT, {451, "4.3.2"}, {0, NULL}},
    [VERDICT_NOT_CACHED] = {"NOT_CACHED", CLASS_TRANSIENT, {451, "4.3.2"}, {0, NULL}},
    [VERDICT_BAD_REQUEST] = {"BAD_REQUEST", CLASS_PERMANENT, {501, "5.5.4"}, {0, NULL}},
    [VERDICT_REJECTED] = {"REJECTED", CLASS_PERMANENT, {550, "5.7.1"}, {0, NULL}},
};

const char *verdict_name(enum verdict verdict) { return rows[verdict].name; }

enum verdict_class verdict_usual_class(enum verdict verdict) { return rows[verdict].usual; }

struct smtp_status verdict_smtp(enum verdict verdict, int transient) {
  const struct row *row = &rows[verdict];
  return transient && row->transient.code ? row->transient : row->smtp;
}
