#include "store/followed.h"

void followed_init(struct followed *followed, uint64_t generation, uint64_t fresh_from) {
  *followed = (struct followed){.generation = generation, .number = generation, .last = generation};
  followed->is_fresh = fresh_from != 0;
  followed->before = followed->is_fresh ? fresh_from : generation;
  followed_begin(followed);
}

void followed_begin(struct followed *followed) {
  followed->told = 0;
  followed->count = 0;
  followed->is_begun = followed->is_other = followed->has_seen_last = false;
  followed->has_found = followed->is_fresh;
}

/* ---- entries ---- */

static bool is_remembered(const struct followed *followed, uint64_t number) {
  for (size_t i = 0; i < FOLLOWED_COUNT; i++)
    if (followed->numbers[i] == number)
      return true;
  return false;
}

static bool has_followed(const struct followed *followed, uint64_t number) {
  return number <= followed->before || is_remembered(followed, number);
}

static void remember(struct followed *followed, uint64_t number) {
  uint64_t *place = &followed->numbers[followed->next];
  if (*place > followed->before)
    followed->before = *place;
  *place = number;
  followed->next = (followed->next + 1) % FOLLOWED_COUNT;
}

/* Some node has followed up to an entry that the list does not have. */
static void compare(struct followed *followed, const struct notice *notice) {
  if (notice->followed > followed->told)
    followed->told = notice->followed;
  if (!has_followed(followed, notice->followed))
    followed->has_missed |= !followed->is_fresh;
  else if (!followed->has_missed)
    followed->has_found = true;
}

/* Whether an entry has been followed before; else it has been now, and has a generation of its own. */
static bool note(struct followed *followed, uint64_t number, uint64_t *generation) {
  bool is_known = followed->is_other ? is_remembered(followed, number) : has_followed(followed, number);
  followed->has_seen_last |= number == followed->last;
  followed->has_found |= is_known && !followed->has_missed;
  *generation = is_known || number > followed->generation ? number : followed->generation + 1;
  if (*generation > followed->generation)
    followed->generation = *generation;
  if (!is_known)
    remember(followed, number);
  return is_known;
}

/* The first entry of the list: says whether it may be one that has begun since the last look. */
static void begin_with(struct followed *followed, uint64_t number, const struct notice *notice) {
  bool is_remembered_here = is_remembered(followed, number);
  if (notice->is_beginning && followed->has_read)
    followed->is_other = !is_remembered_here;
  if (has_followed(followed, number) || !has_followed(followed, notice->followed))
    return;
  followed->is_short = true;
  followed->has_found = true;
  if (notice->followed > followed->told)
    followed->told = notice->followed;
}

bool followed_take(struct followed *followed, uint64_t number, const struct notice *notice, uint64_t origin,
                   uint64_t *generation) {
  bool is_beginning = notice && notice->is_beginning;
  if (notice && !followed->is_begun)
    begin_with(followed, number, notice);
  followed->is_begun = true;
  followed->count++;
  bool is_known = note(followed, number, generation);
  if (notice && !is_beginning && (!is_known || followed->is_fresh))
    followed->number = number;
  if (is_beginning)
    compare(followed, notice);
  if (is_known || !notice || is_beginning || notice->origin == origin)
    return false;
  if (!followed->has_found)
    followed->has_missed = true;
  return followed->has_found;
}

/* ---- the end ---- */

enum followed_outcome followed_end(struct followed *followed, uint64_t *lost) {
  bool is_cut = followed->is_short && !followed->is_fresh && followed->count >= NOTICE_KEPT;
  bool has_missed = followed->has_missed || !followed->has_found || is_cut;
  bool is_told = followed->has_seen_last || followed->told >= followed->last;
  bool is_of_unknown_age = !followed->has_read && followed->before == 0;
  *lost = has_missed || is_told ? 0 : followed->last;
  if (followed->is_fresh) /* it is known exactly now */
    followed->before = followed->generation;
  followed->is_fresh = false;
  followed->has_read = true;
  followed->last = followed->number;
  followed->has_missed = followed->is_short = false;
  followed_begin(followed);
  /* What is read next comes behind all this. */
  followed->is_begun = followed->is_other = followed->has_found = followed->has_seen_last = true;
  if (!has_missed)
    return FOLLOWED_ALL;
  return is_of_unknown_age ? FOLLOWED_UNKNOWN_AGE : FOLLOWED_NOT_ALL;
}
