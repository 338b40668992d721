/*
 * followed: which entries of the list of purges a node has followed, and whether it has missed some.
 *
 * The entries of the list have numbers, which grow. The node reads what has come behind the entry that it
 * read last; where that is not there any more, the whole list anew (followed_begin). Then it is found out:
 *
 *   the list still has one that has been followed     what comes behind it is new
 *   others' purges come before any such one           more was missed than the list keeps
 *   who told the first had followed no more, and the  it is another list: the old one is lost; all is new
 *   list is shorter than it may be
 *   a beginning tells of an entry not followed        some node knew more of a list that was lost
 *
 * A node whose last purge is gone, and that no beginning tells of, is to tell of it itself (followed_end).
 * Beginnings are not told of: a list that is lost again and again takes nothing along.
 *
 * Each entry also has a generation, which only grows, for what is written from then on: its number, or the
 * next one where numbers have gone back, as behind a server whose clock does.
 *
 * Bounds: FOLLOWED_COUNT entries are known one by one, all that are older by their number. Pure.
 */
#ifndef MXWAY_DAEMON_FOLLOWED_H
#define MXWAY_DAEMON_FOLLOWED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/notice.h"

enum { FOLLOWED_COUNT = 2 * NOTICE_KEPT };

struct followed {
  uint64_t generation; /* of what has been followed; 0: nobody knows */
  uint64_t number;     /* of the last purge that was followed; 0: none */
  /* The room's. */
  uint64_t before; /* what is not newer had been followed before those of `numbers` */
  uint64_t numbers[FOLLOWED_COUNT];
  size_t next;
  bool is_fresh; /* there is nothing in memory that could have missed anything; until the first end */
  bool has_read; /* an end has been reached */
  /* What is being read: the whole list, or what has come since. */
  uint64_t last; /* `number` before it */
  uint64_t told; /* up to which lost entry some node has followed, of those that say so */
  size_t count;  /* entries of the whole list; less where only the new ones are read */
  bool is_begun; /* an entry of it has been taken */
  bool is_other; /* numbers say nothing about whether an entry is new */
  bool has_found, has_seen_last;
  /* These are kept where the list is begun again before its end has been reached. */
  bool is_short; /* it is good only if the list is shorter than it may be */
  bool has_missed;
};

/* Memory holds facts from when all up to `generation` had been followed, 0: nobody knows; or nothing, where
 * `fresh_from` is not 0: then what was told since that number is to be followed. */
void followed_init(struct followed *followed, uint64_t generation, uint64_t fresh_from);

/* The whole list is read from now on; again, where it had lost its beginning before its end was read. */
void followed_begin(struct followed *followed);

/* Takes the next entry; `notice` is NULL where it is none. Gives its generation, and returns whether memory
 * is to be purged of what it says. */
bool followed_take(struct followed *followed, uint64_t number, const struct notice *notice, uint64_t origin,
                   uint64_t *generation);

enum followed_outcome {
  FOLLOWED_ALL,
  FOLLOWED_NOT_ALL,     /* some were missed: memory is to be purged as a whole */
  FOLLOWED_UNKNOWN_AGE, /* the same, because it is not known what memory had followed at the start */
};

/* The end of the list has been read. Gives the purge that it has lost and that no beginning tells of, 0:
 * there is none. */
enum followed_outcome followed_end(struct followed *followed, uint64_t *lost);

#endif
