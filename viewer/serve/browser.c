/* SPDX-License-Identifier: MIT */
#include "viewer/serve/browser.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	COMMAND_BYTES = 4096,
	MAX_WORDS = 32,
	ADDRESS_BYTES = 64,
};

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

/* An editor at the other end of ssh sets $BROWSER, and that one works. */
bool vz_browser_wanted(void)
{
	return is_set("BROWSER") ||
	       (!is_set("SSH_CONNECTION") && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")));
}

/*
 * $BROWSER: commands with ":" between them, "%s" in one is the address, else it comes last.
 * The words are split at blanks, as xdg-open does.  TEXT is cut into them.
 */
static void split(char *text, char *address, char **words)
{
	bool placed = false;
	int n = 0;

	text[strcspn(text, ":")] = '\0';
	for (char *word = strtok(text, " \t"); word && n < MAX_WORDS - 2;
	     word = strtok(NULL, " \t")) {
		if (!strcmp(word, "%s")) {
			words[n++] = address;
			placed = true;
		} else {
			words[n++] = word;
		}
	}
	if (!placed)
		words[n++] = address;
	words[n] = NULL;
}

/* Runs in the child: what a browser prints is not for our terminal. */
static void become(char **words)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	setsid(); /* Ctrl-C ends the server, not the browser */
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (fork() == 0)
		execvp(words[0], words);
	_exit(0);
}

int vz_browser_open(const char *address)
{
	const char *browser = getenv("BROWSER");
	char text[COMMAND_BYTES], kept[ADDRESS_BYTES * 2], *words[MAX_WORDS];
	pid_t child;

	if (!browser || !*browser)
		browser = "xdg-open";
	if (snprintf(text, sizeof(text), "%s", browser) >= (int)sizeof(text) ||
	    snprintf(kept, sizeof(kept), "%s", address) >= (int)sizeof(kept))
		return -ENAMETOOLONG;
	split(text, kept, words);
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		become(words);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

bool vz_browser_forward(unsigned port, char *buf, size_t size)
{
	const char *connection = getenv("SSH_CONNECTION");
	const struct passwd *user = getpwuid(getuid());
	char host[64];

	/* client address, client port, server address, server port */
	if (!connection || sscanf(connection, "%*63s %*s %63s", host) != 1)
		return false;
	return snprintf(buf, size, "ssh -N -L %u:127.0.0.1:%u %s@%s", port, port,
			user ? user->pw_name : "USER", host) < (int)size;
}
