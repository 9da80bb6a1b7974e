/* SPDX-License-Identifier: MIT */
/* Values of local variables, in every CPython; and what must not be shown of them. */
#include <criterion/criterion.h>

#include "attach/snapshot/secrets.h"
#include "tests/kit_look.h"

static const struct kit_case cases[] = {
	{ .label = "values",
	  .locals = true,
	  .program = "import os, time, collections\n"
		     "class Order:\n"
		     "    def __repr__(self): os._exit(3)\n"
		     "    __str__ = __len__ = __repr__\n"
		     "def f(number, negative, big, real, text, raw, nothing, yes, order, items,\n"
		     "      password, api_key, author, keyboard, url, long, wide, quoted):\n"
		     "    unbound = None; del unbound\n"
		     "    cell = 'c'\n"
		     "    g = lambda: cell\n"
		     "    os.write(1, b'x')\n"
		     "    time.sleep(1000)\n"
		     "def g(a, b, c, d, e):\n"
		     "    mapping = {1: 2}; both = {1, 2}; pair = (1, 2); named = "
		     "collections.OrderedDict(a=1)\n"
		     "    f(42, -7, 1 << 80, 2.5, 'text', b'raw\\x00\\xff', None, True, Order(), "
		     "[1] * 12,\n"
		     "      'hunter2', 'abc', 'Ann', 'qwerty', 'https://me:pw@host/', 'x' * 200, "
		     "'\\u00e4\\u20ac\\U0001f600', 'Bearer abc')\n"
		     "g(1, 2, 3, 4, 5)\n",
	  .expect = { ": number = 42\n", ": negative = -7\n", ": real = 2.5\n", ": text = 'text'\n",
		      ": raw = b'raw\\x00\\xff'\n", ": nothing = None\n", ": yes = True\n",
		      ": order = <__main__.Order at 0x", ": items = list of 12\n",
		      ": author = 'Ann'\n" },
	  .reject = { "hunter2", "me:pw", "'abc'", "Bearer", "unbound" } },
	{ .label = "more values",
	  .locals = true,
	  .program = "import os, time, collections\n"
		     "def f(token, keyboard, url, long, wide, big):\n"
		     "    mapping = {1: 2}; both = {1, 2}; pair = (1, 2)\n"
		     "    named = collections.OrderedDict(a=1)\n"
		     "    cell = 'c'\n"
		     "    g = lambda: cell\n"
		     "    os.write(1, b'x')\n"
		     "    time.sleep(1000)\n"
		     "f('t0ken', 'qwerty', 'https://me:pw@host/', 'x' * 200, "
		     "'\\u00e4\\u20ac\\U0001f600', 1 << 80)\n",
	  .expect = { ": keyboard = 'qwerty'\n", ": url = ***\n", ": token = ***\n",
		      "xxxxxxxx'...\n", ": wide = '\u00e4\u20ac\U0001f600'\n",
		      ": mapping = dict of 1\n", ": both = set of 2\n", ": pair = tuple of 2\n",
		      ": named = collections.OrderedDict of 1\n", ": cell = 'c'\n" },
	  .reject = { "t0ken", "me:pw" } },
	{ .label = "only so many",
	  .locals = true,
	  .program = "import os, time\n"
		     "def f():\n"
		     "    a=b=c=d=e=f=g=h=i=j=k=l=m=n=o=p=q=r=s=t=u=v=w=1\n"
		     "    os.write(1, b'x')\n"
		     "    time.sleep(1000)\n"
		     "f()\n",
	  .expect = { "  f: a = 1\n", "  f: t = 1\n", "  f: more\n" },
	  .reject = { "  f: u = 1\n", "  f: v = 1\n" } },
};

Test(locals, are_told_without_running_anything)
{
	cr_assert_eq(kit_look_all(cases, sizeof(cases) / sizeof(cases[0]), 8, 15), 0);
}

Test(locals, names_of_secrets)
{
	static const char *const secret[] = {
		"password",      "db_password", "passwd",        "PASSWORD",     "secret",
		"client_secret", "token",       "access_token",  "accessToken",  "token2",
		"api_key",       "apikey",      "apiKey",        "APIKey",       "key",
		"private",       "private_key", "authorization", "cookie",       "session",
		"session_id",    "credential",  "credentials",   "auth",         "basic_auth",
		"pin",           "dsn",         "_key",          "userPassword", "csrftoken"
	};
	static const char *const plain[] = { "author",           "keyboard", "authors", "monkey",
					     "pinned",           "spin",     "keyword", "tokenizer",
					     "bypass",           "compass",  "x",       "",
					     "sessions_seen_at", "passenger" };

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		cr_expect(vz_secret_name(secret[i]), "%s", secret[i]);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		cr_expect_not(vz_secret_name(plain[i]), "%s", plain[i]);
}

Test(locals, values_of_secrets)
{
	static const char *const secret[] = {
		"-----BEGIN RSA PRIVATE KEY-----\nMII",
		"Bearer abc",
		"Authorization: Basic abc",
		"postgres://me:pw@host/db",
		"see amqp://u:p@h",
		"postgres://me:pa",
		"a=1&password=x",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
	};
	static const char *const plain[] = { "",
					     "text",
					     "https://host/path",
					     "http://host:8080/",
					     "http://host:8080",
					     "mail@host",
					     "https://host/a:b@c",
					     "a bear" };

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		cr_expect(vz_secret_value(secret[i]), "%s", secret[i]);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		cr_expect_not(vz_secret_value(plain[i]), "%s", plain[i]);
}
