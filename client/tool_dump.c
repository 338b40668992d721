#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "tool_arguments.h"
#include "tool_control.h"

enum { PIECE_BYTES = 60 * 1024 }; /* of a load: leaves room for the rest of a request frame */

static const char dump_usage[] =
    "Usage: mxway dump [OPTION...] [FILE]\n"
    "Write what the daemon remembers to FILE, or to standard output, for mxway load.\n"
    "\n"
    "  --socket PATH  the daemon's control socket (else $MXWAY_CONTROL, else\n"
    "                 " TOOL_CONTROL_DEFAULT_SOCKET
    ")\n"
    "  -h, --help     this text\n"
    "\n"
    "Everything keeps its expiry while it lies in the file; what has expired is in it as long as it may\n"
    "be answered when the DNS fails. Failures are left out.\n";

static const char load_usage[] =
    "Usage: mxway load [OPTION...] [FILE]\n"
    "Have the daemon remember what mxway dump wrote to FILE, or what comes on standard input.\n"
    "\n"
    "  --socket PATH  the daemon's control socket (else $MXWAY_CONTROL, else\n"
    "                 " TOOL_CONTROL_DEFAULT_SOCKET
    ")\n"
    "  --json         the counts as one JSON object\n"
    "  -h, --help     this text\n"
    "\n"
    "What is known better already is skipped, and what has expired, unless it may be answered when the\n"
    "DNS fails. A file that is broken is refused with the number of the record; what came before it is\n"
    "kept.\n";

static int fail_file(const char *command, const char *name, int error) {
  tool_control_complain(command, "%s: %s", name, strerror(error));
  return TOOL_IO;
}

/* The one argument, NULL for none or "-". */
static int take_file(const struct tool_arguments *options, int argc, char **argv, const char **name) {
  if (argc - optind > 1)
    return tool_arguments_fail(options, "only one file, not also", argv[optind + 1]);
  *name = argc > optind && strcmp(argv[optind], "-") != 0 ? argv[optind] : NULL;
  return TOOL_OK;
}

/* ---- dump ---- */

static bool write_all(int fd, const uint8_t *octets, size_t length) {
  while (length > 0) {
    ssize_t wrote = write(fd, octets, length);
    if (wrote < 0 && errno != EINTR)
      return false;
    if (wrote > 0) {
      octets += wrote;
      length -= (size_t)wrote;
    }
  }
  return true;
}

/* Asks for the next piece and writes it. Returns TOOL_OK and says whether it was the last, or a status. */
static int dump_piece(struct tool_control *control, int fd, const char *name, bool *is_last) {
  Mxway__V1__DumpRequest dump = MXWAY__V1__DUMP_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  request.dump = &dump;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_DUMP;
  Mxway__V1__ControlReply *reply = tool_control_call(control, &request);
  int status = reply ? TOOL_OK : TOOL_NO_DAEMON;
  if (reply && reply->result_case != MXWAY__V1__CONTROL_REPLY__RESULT_DUMP) {
    tool_control_complain("dump", "%s", reply->error[0] ? reply->error : "the daemon sent no dump");
    status = TOOL_DATA;
  } else if (reply && !write_all(fd, reply->dump->piece.data, reply->dump->piece.len)) {
    status = fail_file("dump", name, errno);
  } else if (reply) {
    *is_last = reply->dump->last;
    if (*is_last)
      fprintf(stderr, "dumped %" PRIu64 " domains and the addresses of %" PRIu64 " hosts\n",
              reply->dump->domain_count, reply->dump->host_count);
  }
  if (reply)
    mxway__v1__control_reply__free_unpacked(reply, NULL);
  return status;
}

static int dump_all(const char *path, int fd, const char *name) {
  struct tool_control control;
  bool is_last = false;
  int status = tool_control_open(&control, "dump", path);
  while (status == TOOL_OK && !is_last)
    status = dump_piece(&control, fd, name, &is_last);
  tool_control_close(&control);
  return status;
}

int tool_dump(int argc, char **argv) {
  struct tool_arguments options = {.command = "dump", .usage = dump_usage};
  const char *name;
  int status = tool_arguments_parse(&options, argc, argv);
  if (status >= 0)
    return status;
  status = take_file(&options, argc, argv, &name);
  if (status != TOOL_OK)
    return status;
  if (!name && isatty(STDOUT_FILENO))
    return tool_arguments_fail(&options, "a dump is nothing for a terminal: name a file", NULL);
  int fd = name ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : STDOUT_FILENO;
  if (fd < 0)
    return fail_file("dump", name, errno);
  status = dump_all(options.socket_path, fd, name ? name : "standard output");
  if (name && close(fd) != 0 && status == TOOL_OK)
    status = fail_file("dump", name, errno);
  if (name && status != TOOL_OK)
    tool_control_complain("dump", "%s is incomplete", name);
  return status;
}

/* ---- load ---- */

static void print_counts(const struct tool_arguments *options, const Mxway__V1__LoadReply *load) {
  if (options->is_json)
    printf("{\"domains\":%" PRIu64 ",\"hosts\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"older\":%" PRIu64
           ",\"future\":%" PRIu64 ",\"unused\":%" PRIu64 ",\"stale\":%" PRIu64 "}\n",
           load->domain_count, load->host_count, load->expired_count, load->older_count, load->future_count,
           load->unused_count, load->stale_count);
  else
    printf("loaded %" PRIu64 " domains, %" PRIu64 " of them expired, and the addresses of %" PRIu64
           " hosts; skipped %" PRIu64 " expired, %" PRIu64 " known better, %" PRIu64
           " from the future, %" PRIu64 " of hosts that nobody names\n",
           load->domain_count, load->stale_count, load->host_count, load->expired_count, load->older_count,
           load->future_count, load->unused_count);
}

/* Sends a piece and waits until it is taken in. Prints the counts behind the last. */
static int load_piece(const struct tool_arguments *options, struct tool_control *control, const char *name,
                      ProtobufCBinaryData piece, bool is_last) {
  Mxway__V1__LoadRequest load = MXWAY__V1__LOAD_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  load.piece = piece;
  load.last = is_last;
  request.load = &load;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD;
  Mxway__V1__ControlReply *reply = tool_control_call(control, &request);
  if (!reply)
    return TOOL_NO_DAEMON;
  int status = TOOL_OK;
  bool has_counts = reply->result_case == MXWAY__V1__CONTROL_REPLY__RESULT_LOAD;
  if (reply->error[0] || !has_counts) {
    tool_control_complain("load", "%s: %s", name, reply->error);
    status = TOOL_DATA;
  }
  if (has_counts && (is_last || status != TOOL_OK))
    print_counts(options, reply->load);
  mxway__v1__control_reply__free_unpacked(reply, NULL);
  return status;
}

/* Fills the buffer from `fd`; returns the octets, fewer than it holds only at the end, or -1. */
static ssize_t read_piece(int fd, uint8_t buffer[PIECE_BYTES]) {
  size_t length = 0;
  while (length < PIECE_BYTES) {
    ssize_t got = read(fd, buffer + length, PIECE_BYTES - length);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    length += (size_t)got;
  }
  return (ssize_t)length;
}

static int load_all(const struct tool_arguments *options, int fd, const char *name) {
  static uint8_t buffer[PIECE_BYTES];
  struct tool_control control;
  int status = tool_control_open(&control, "load", options->socket_path);
  for (bool is_last = false; status == TOOL_OK && !is_last;) {
    ssize_t length = read_piece(fd, buffer);
    if (length < 0) {
      status = fail_file("load", name, errno);
      break;
    }
    is_last = length < PIECE_BYTES;
    status = load_piece(options, &control, name, (ProtobufCBinaryData){.len = (size_t)length, .data = buffer},
                        is_last);
  }
  tool_control_close(&control);
  return status;
}

int tool_load(int argc, char **argv) {
  struct tool_arguments options = {.command = "load", .usage = load_usage, .has_json = true};
  const char *name;
  int status = tool_arguments_parse(&options, argc, argv);
  if (status >= 0)
    return status;
  status = take_file(&options, argc, argv, &name);
  if (status != TOOL_OK)
    return status;
  int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  if (fd < 0)
    return fail_file("load", name, errno);
  status = load_all(&options, fd, name ? name : "standard input");
  if (name)
    close(fd);
  return tool_arguments_end(&options, status);
}
