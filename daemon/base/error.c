#include "base/error.h"

const char *error_text(int error) {
  switch ((enum error)error) {
  case ERR_NOMEM:
    return "out of memory";
  case ERR_OVERLOAD:
    return "too much to do";
  case ERR_MALFORMED:
    return "malformed input";
  case ERR_TOO_LARGE:
    return "input too large";
  case ERR_CONFIG:
    return "unusable configuration";
  case ERR_SYSTEM:
    return "system error";
  case ERR_IN_USE:
    return "address in use";
  case ERR_NETWORK:
    return "no connection";
  }
  return "unknown error";
}
