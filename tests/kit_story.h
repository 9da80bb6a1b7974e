/* SPDX-License-Identifier: MIT */
/*
 * kit_story.h - tells a trace as text, so that a test can say what it expects.
 *
 * One line for each timeline, "NAME: " and its events in order:
 *
 *   +f call    >f resume   !f throw    (f found open
 *   -f return  <f yield    ^f unwind   ?f gone unseen   =f still open at the end
 *   L7 seven records lost here
 */
#ifndef VZ_TESTS_KIT_STORY_H
#define VZ_TESTS_KIT_STORY_H

#include "viewer/reader.h"

/** All timelines of the trace in FD, or only those named NAME; free() it.  Aborts if it is no whole
 * trace. */
char *kit_story(int fd, const char *name);
/** One timeline by its place. */
char *kit_story_of(struct vz_reader *r, uint32_t place);
/** How often EVENT, like "+f", is in STORY. */
unsigned kit_story_count(const char *story, const char *event);
/** Open the trace in FD, whole or not; BYTES must be freed after the reader. */
struct vz_reader *kit_open(int fd, uint8_t **bytes);

#endif /* VZ_TESTS_KIT_STORY_H */
