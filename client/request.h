/*
 * request: a struct mxway_request made into a frame.
 *
 * What cannot be a frame of the protocol is refused here; what a field may say is the
 * daemon's to judge, so that an old library passes on what a new daemon knows.
 */
#ifndef MXWAY_CLIENT_REQUEST_H
#define MXWAY_CLIENT_REQUEST_H

#include "buffer.h"
#include "mxway/mxway.h"

/* Appends the frame to `out`. Returns 0; or, with nothing appended, MXWAY_ERR_ARGUMENT
 * or MXWAY_ERR_NOMEM. */
int mxway_request_encode(const struct mxway_request *request, uint64_t id, struct mxway_buffer *out);

#endif
