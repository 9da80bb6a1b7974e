/* SPDX-License-Identifier: MIT */
/* secrets.h - what must not be shown of a program's data. */
#ifndef VZ_ATTACH_SNAPSHOT_SECRETS_H
#define VZ_ATTACH_SNAPSHOT_SECRETS_H

#include <stdbool.h>

/** Does a variable of this name hold a secret?  "db_password", "apiKey2"; not "author". */
bool vz_secret_name(const char *name);
/** Does TEXT look like one: a private key, a bearer token, an address with a password? */
bool vz_secret_value(const char *text);

#endif /* VZ_ATTACH_SNAPSHOT_SECRETS_H */
