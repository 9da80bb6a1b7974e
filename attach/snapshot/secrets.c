/* SPDX-License-Identifier: MIT */
/* secrets.c - names and values that look like secrets; rather one too many. */
#include "attach/snapshot/secrets.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 256 };

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* One word of a name, in small letters, without digits at its end. */
static bool is_secret_word(const char *word)
{
	static const char *const words[] = { "pass",   "pwd",    "token",   "tokens",  "key",
					     "keys",   "cookie", "cookies", "session", "sessionid",
					     "auth",   "oauth",  "pin",     "dsn",     "private",
					     "bearer", "jwt",    "salt",    "otp",     "nonce",
					     "sid",    "csrf",   "xsrf",    "creds",   "cred" };
	static const char *const ends[] = { "token", "tokens", "apikey", "apikeys" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (ends_with(word, ends[i]))
			return true;
	}
	return false;
}

static bool holds(const char *text, const char *const *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcasestr(text, parts[i]))
			return true;
	}
	return false;
}

bool vz_secret_name(const char *name)
{
	static const char *const anywhere[] = { "password",  "passwd",        "passphrase",
						"secret",    "authorization", "authorisation",
						"credential" };
	char word[NAME_MAX_BYTES];
	size_t n = 0;

	if (holds(name, anywhere, sizeof(anywhere) / sizeof(anywhere[0])))
		return true;
	for (size_t i = 0;; i++) {
		unsigned char c = (unsigned char)name[i];
		/* words end at "_", at anything else that is no letter, and before capitals:
		   accessToken, APIKey */
		bool begins = isupper(c) && i > 0 &&
			      (islower((unsigned char)name[i - 1]) ||
			       islower((unsigned char)name[i + 1]));

		if (!isalpha(c) || begins) {
			word[n] = '\0';
			if (n && is_secret_word(word))
				return true;
			n = 0;
		}
		if (!c)
			return false;
		if (isalpha(c) && n + 1 < sizeof(word))
			word[n++] = (char)tolower(c);
	}
}

/* scheme://user:password@host; also if it was cut before the "@". */
static bool has_password(const char *text)
{
	for (const char *at = strstr(text, "://"); at; at = strstr(at + 3, "://")) {
		const char *host = at + 3;
		size_t len = strcspn(host, "/ \t\n\"'<>?#");
		const char *sign = memchr(host, '@', len);

		if (sign && memchr(host, ':', (size_t)(sign - host)))
			return true;
		if (!host[len] && memchr(host, ':', len) && !sign &&
		    strspn(strchr(host, ':') + 1, "0123456789") != strlen(strchr(host, ':') + 1))
			return true;
	}
	return false;
}

/* header.payload.signature of a JSON web token */
static bool is_web_token(const char *text)
{
	const char *at = strstr(text, "eyJ");
	const char *dot = at ? strchr(at, '.') : NULL;

	return dot && strncmp(dot + 1, "eyJ", 3) == 0;
}

bool vz_secret_value(const char *text)
{
	static const char *const parts[] = { "PRIVATE KEY-----", "bearer ",     "authorization:",
					     "password=",        "passwd=",     "pwd=",
					     "secret=",          "token=",      "api_key=",
					     "apikey=",          "set-cookie:", "cookie: ",
					     "\"password\"",     "'password'" };
	static const char *const starts[] = {
		"Basic ", "ghp_",  "gho_", "github_pat_", "glpat-",
		"xoxb-",  "xoxp-", "AKIA", "sk-",         "sk_live_"
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		if (strncmp(text, starts[i], strlen(starts[i])) == 0)
			return true;
	}
	return holds(text, parts, sizeof(parts) / sizeof(parts[0])) || has_password(text) ||
	       is_web_token(text);
}
