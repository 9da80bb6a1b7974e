/* SPDX-License-Identifier: MIT */
/*
 * browser.h - shows an address in the user's browser, and tells where there is none.
 */
#ifndef VZ_VIEWER_BROWSER_H
#define VZ_VIEWER_BROWSER_H

#include <stdbool.h>
#include <stddef.h>

/** Whether there is a browser to be opened: $BROWSER, or a display of this machine. */
bool vz_browser_wanted(void);

/**
 * Open ADDRESS by the first of $BROWSER, else by xdg-open.  Does not wait; leaves no child
 * behind.  Whether it worked is not known; 0, or a negative errno if not even that was tried.
 */
int vz_browser_open(const char *address);

/**
 * The command that makes PORT of this machine reachable where the user sits, if that is at the
 * other end of ssh.
 */
bool vz_browser_forward(unsigned port, char *buf, size_t size);

#endif /* VZ_VIEWER_BROWSER_H */
