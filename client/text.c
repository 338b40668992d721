#include "mxway/mxway.h"

static const char unknown[] = "UNKNOWN";

/* The class is the usual one, where the SMTP code does not say. */
static const struct {
  const char *text;
  enum mxway_class usual;
} verdicts[] = {
    [MXWAY_ROUTE] = {"ROUTE", MXWAY_CLASS_OK},
    [MXWAY_NULL_MX] = {"NULL_MX", MXWAY_CLASS_PERMANENT},
    [MXWAY_NO_SUCH_DOMAIN] = {"NO_SUCH_DOMAIN", MXWAY_CLASS_PERMANENT},
    [MXWAY_NO_MAIL_HOST] = {"NO_MAIL_HOST", MXWAY_CLASS_PERMANENT},
    [MXWAY_MX_HOSTS_NO_ADDRESS] = {"MX_HOSTS_NO_ADDRESS", MXWAY_CLASS_PERMANENT},
    [MXWAY_MX_HOSTS_TEMPFAIL] = {"MX_HOSTS_TEMPFAIL", MXWAY_CLASS_TRANSIENT},
    [MXWAY_MX_ALL_INVALID] = {"MX_ALL_INVALID", MXWAY_CLASS_PERMANENT},
    [MXWAY_NO_ROUTABLE_ADDRESS] = {"NO_ROUTABLE_ADDRESS", MXWAY_CLASS_PERMANENT},
    [MXWAY_LOOP_SELF_BEST] = {"LOOP_SELF_BEST", MXWAY_CLASS_PERMANENT},
    [MXWAY_PRIMARY_UNRESOLVED] = {"PRIMARY_UNRESOLVED", MXWAY_CLASS_TRANSIENT},
    [MXWAY_INVALID_NAME] = {"INVALID_NAME", MXWAY_CLASS_PERMANENT},
    [MXWAY_DNS_SERVFAIL] = {"DNS_SERVFAIL", MXWAY_CLASS_TRANSIENT},
    [MXWAY_DNS_REFUSED] = {"DNS_REFUSED", MXWAY_CLASS_TRANSIENT},
    [MXWAY_DNS_TIMEOUT] = {"DNS_TIMEOUT", MXWAY_CLASS_TRANSIENT},
    [MXWAY_DNS_NETWORK] = {"DNS_NETWORK", MXWAY_CLASS_TRANSIENT},
    [MXWAY_DNS_MALFORMED] = {"DNS_MALFORMED", MXWAY_CLASS_TRANSIENT},
    [MXWAY_CNAME_LOOP] = {"CNAME_LOOP", MXWAY_CLASS_TRANSIENT},
    [MXWAY_OVERLOAD] = {"OVERLOAD", MXWAY_CLASS_TRANSIENT},
    [MXWAY_SHUTDOWN] = {"SHUTDOWN", MXWAY_CLASS_TRANSIENT},
    [MXWAY_DEADLINE] = {"DEADLINE", MXWAY_CLASS_TRANSIENT},
    [MXWAY_NOT_CACHED] = {"NOT_CACHED", MXWAY_CLASS_TRANSIENT},
    [MXWAY_BAD_REQUEST] = {"BAD_REQUEST", MXWAY_CLASS_PERMANENT},
    [MXWAY_REJECTED] = {"REJECTED", MXWAY_CLASS_PERMANENT},
};

static bool is_known(enum mxway_verdict verdict) {
  return (size_t)verdict < sizeof verdicts / sizeof *verdicts && verdicts[verdict].text;
}

const char *mxway_verdict_text(enum mxway_verdict verdict) {
  return is_known(verdict) ? verdicts[verdict].text : unknown;
}

const char *mxway_class_text(enum mxway_class class_) {
  switch (class_) {
  case MXWAY_CLASS_OK:
    return "ok";
  case MXWAY_CLASS_PERMANENT:
    return "permanent";
  case MXWAY_CLASS_TRANSIENT:
    return "transient";
  }
  return unknown;
}

const char *mxway_source_text(enum mxway_source source) {
  switch (source) {
  case MXWAY_SOURCE_MEMORY:
    return "MEMORY";
  case MXWAY_SOURCE_SHARED:
    return "SHARED";
  case MXWAY_SOURCE_DNS:
    return "DNS";
  case MXWAY_SOURCE_LITERAL:
    return "LITERAL";
  case MXWAY_SOURCE_OVERRIDE:
    return "OVERRIDE";
  case MXWAY_SOURCE_POLICY:
    return "POLICY";
  }
  return unknown;
}

const char *mxway_status_text(enum mxway_status status) {
  switch (status) {
  case MXWAY_STATUS_NOT_RESOLVED:
    return "NOT_RESOLVED";
  case MXWAY_STATUS_OK:
    return "OK";
  case MXWAY_STATUS_NXDOMAIN:
    return "NXDOMAIN";
  case MXWAY_STATUS_NO_ADDRESS:
    return "NO_ADDRESS";
  case MXWAY_STATUS_TEMPFAIL:
    return "TEMPFAIL";
  case MXWAY_STATUS_CNAME_REJECTED:
    return "CNAME_REJECTED";
  case MXWAY_STATUS_CNAME_LOOP:
    return "CNAME_LOOP";
  case MXWAY_STATUS_FILTERED:
    return "FILTERED";
  case MXWAY_STATUS_INVALID:
    return "INVALID";
  }
  return unknown;
}

const char *mxway_error_text(int error) {
  if (error == 0)
    return "success";
  switch ((enum mxway_error)error) {
  case MXWAY_ERR_NOMEM:
    return "out of memory";
  case MXWAY_ERR_CONNECT:
    return "no daemon answers at the socket";
  case MXWAY_ERR_DISCONNECTED:
    return "the connection to the daemon was lost before the answer";
  case MXWAY_ERR_PROTOCOL:
    return "the daemon sent what is no reply";
  case MXWAY_ERR_TIMEOUT:
    return "the daemon did not answer in time";
  case MXWAY_ERR_FULL:
    return "too many questions are unanswered";
  case MXWAY_ERR_ARGUMENT:
    return "an argument that cannot be asked with";
  }
  return unknown;
}

enum mxway_class mxway_reply_class(const struct mxway_reply *reply) {
  if (reply->verdict == MXWAY_ROUTE)
    return MXWAY_CLASS_OK;
  if (reply->smtp_code / 100 == 5)
    return MXWAY_CLASS_PERMANENT;
  if (reply->smtp_code / 100 == 4)
    return MXWAY_CLASS_TRANSIENT;
  /* Of a verdict newer than this library nobody should bounce mail. */
  return is_known(reply->verdict) ? verdicts[reply->verdict].usual : MXWAY_CLASS_TRANSIENT;
}
