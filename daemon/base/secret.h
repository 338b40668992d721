/*
 * secret: a password from a file that others cannot read.
 *
 * One line; its newline, and a carriage return before that, are not part of it. What others than owner and
 * group can read or write is refused, and so is what is no regular file: a secret that everybody may read is
 * none. Nothing read stays in memory but the result, which is the caller's.
 */
#ifndef MXWAY_DAEMON_SECRET_H
#define MXWAY_DAEMON_SECRET_H

#include <stddef.h>

enum { SECRET_SIZE = 513, SECRET_REASON_SIZE = 256 };

/* Opens the file `path` for reading, without waiting. Returns a file descriptor, which is the caller's; or
 * ERR_CONFIG with a sentence in `reason` that names the file. */
int secret_open(const char *path, char reason[SECRET_REASON_SIZE]);

/* Reads the file `path` into `secret`. Returns 0; or ERR_CONFIG with a sentence in `reason` that names the
 * file and holds nothing of what is in it. */
int secret_read(const char *path, char secret[SECRET_SIZE], char reason[SECRET_REASON_SIZE]);

/* Overwrites. */
void secret_wipe(char *secret, size_t size);

#endif
