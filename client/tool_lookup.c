#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool.h"
#include "tool_options.h"

enum { COLUMNS_DEFAULT = 80 };

/* Whether bold is welcome (https://no-color.org). */
static bool is_bold_wanted(void) {
  const char *no_color = getenv("NO_COLOR");
  const char *terminal = getenv("TERM");
  return isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal && strcmp(terminal, "dumb") != 0;
}

static size_t terminal_columns(void) {
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return COLUMNS_DEFAULT;
  return size.ws_col;
}

int tool_lookup(int argc, char **argv) {
  const char *socket_path = getenv("MXWAY_SOCKET");
  struct tool_options options = {
      .run = {.socket_path = socket_path && *socket_path ? socket_path : MXWAY_DEFAULT_SOCKET,
              .request = {.depth = MXWAY_DEPTH_ADDRESSES},
              .input_fd = -1,
              .columns = terminal_columns(),
              .is_bold = is_bold_wanted(),
              .is_output_terminal = isatty(STDOUT_FILENO),
              .is_error_terminal = isatty(STDERR_FILENO),
              .out = stdout,
              .err = stderr},
  };
  int status = tool_options_parse(&options, argc, argv);
  if (status < 0)
    status = tool_run(&options.run);
  tool_options_fini(&options);
  return status;
}
