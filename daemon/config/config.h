/*
 * config: the options of mxwayd, read and printed.
 *
 * The table of options gives the
 * parser of the file (conffile), of `-o name=value`, the checks,
 * `--print-config`, `--help` and the manual page. Configured routes (override) stand beside the
 * table. A struct config is immutable once parsed. An error names the file and line (or "-o"), the option,
 * the value and what was expected.
 */
#ifndef MXWAY_DAEMON_CONFIG_H
#define MXWAY_DAEMON_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "config/options.h"

enum { CONFIG_ERROR_SIZE = 512, CONFIG_SEEN_WORDS = (OPTIONS_COUNT + 63) / 64 };

/* The defaults of the table. upstream_count is 0: resolv.conf decides. */
void config_init(struct config *config);

/* Frees what `*config` owns, and wipes its passwords. */
void config_fini(struct config *config);

/* Reads `path` over `*config`. Of two settings of one option the last wins; two routes for one
 * pattern are an error. Returns 0;
 * or ERR_CONFIG with `*config` untouched and a message without newline in `error`.
 * One file at a time in a process, as conffile says. */
int config_parse_file(struct config *config, const char *path, char error[CONFIG_ERROR_SIZE]);

/* Sets one option from "name=value", or a route from "route PATTERN=VALUE", over one for the same
 * pattern (the command line's -o). A list option
 * (upstream, self-name, ...) is replaced by the first -o that names it after `config` came from
 * defaults or a file, and extended by the later ones; `value` may be several
 * separated by commas. `seen` is a caller's zeroed array that remembers which
 * lists were replaced. Returns 0 or ERR_CONFIG, as config_parse_file. */
int config_parse_assignment(struct config *config, const char *assignment, uint64_t seen[CONFIG_SEEN_WORDS],
                            char error[CONFIG_ERROR_SIZE]);

/* Checks what concerns two options, and what of one is of no use (see there). Reads nothing. Returns 0 or
 * ERR_CONFIG. */
int config_check(const struct config *config, char error[CONFIG_ERROR_SIZE]);

/* Fills in what a daemon needs to run and a printed configuration has not: the passwords of the files that
 * are named (a file that others may read is refused), the usual ports, the name of the node; looks at the
 * files of TLS and of the MAC. Logs nothing that is secret. After config_check. Returns 0 or ERR_CONFIG. */
int config_complete(struct config *config, char error[CONFIG_ERROR_SIZE]);

/* Without an upstream takes the `nameserver` lines of `config->resolv_conf`, or 127.0.0.1 and ::1 as
 * resolv.conf(5) says where there are none or no file. */
void config_resolve_upstreams(struct config *config);

/* Reads the `nameserver` lines of a file in the format of resolv.conf(5): port 53 unless one names
 * another, at most CONFIG_UPSTREAM_MAX. Returns how many there are; logs a line that is none. */
size_t config_read_resolv_conf(const char *path, struct config_upstream upstreams[CONFIG_UPSTREAM_MAX]);

/* Prints every option with its value in effect, each behind its sentence, default and
 * range as comments: a file that config_parse_file reads to the same config. */
void config_print(const struct config *config, FILE *out);

/* Prints the table for --help: name, type or range, default, sentence. */
void config_print_help(FILE *out);

/* "127.0.0.1:53", "[2001:db8::1]:53" of `upstream`; into `text`, returned. */
const char *config_upstream_text(const struct config_upstream *upstream, char text[ADDRESS_TEXT_SIZE]);

#endif
