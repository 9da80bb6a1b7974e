# shellcheck shell=bash
# lib.sh - what the scripts share.  Source it; it changes no directory and starts nothing.

VZ_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a build and the demo need, and what the tests need beyond that.
VZ_PACKAGES_DEMO="gcc libc6-dev cmake ninja-build pkg-config libzstd-dev
	libunwind-dev zlib1g-dev libyajl-dev libmicrohttpd-dev libdeflate-dev python3 gunicorn
	python3-flask"
# shellcheck disable=SC2034 # used where this is sourced
VZ_PACKAGES_TEST="$VZ_PACKAGES_DEMO libcriterion-dev libpython3-dev python3-gevent python3-greenlet
	uwsgi-core uwsgi-plugin-python3 apache2-bin libapache2-mod-wsgi-py3 postgresql-15
	postgresql-plpython3-15 util-linux mount strace binutils gcovr clang libclang-rt-dev shellcheck
	mmdebstrap bubblewrap musl-tools groff-base nodejs chromium firefox-esr fonts-dejavu-core
	esbuild node-typescript lld zopfli"
# npm comes with some packages of nodejs, which then refuse Debian's own.
# shellcheck disable=SC2034 # used where this is sourced
command -v npm >/dev/null || VZ_PACKAGES_TEST="$VZ_PACKAGES_TEST npm"

vz_say() {
	printf '== %s\n' "$*"
}

vz_die() {
	printf '%s: %s\n' "$(basename "$0")" "$1" >&2
	[ $# -lt 2 ] || printf '  try: %s\n' "$2" >&2
	exit 1
}

# vz_missing PACKAGE... prints those that are not installed
vz_missing() {
	local package
	for package; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

# Packages may bring daemons that start themselves.  While this file exists
# with exit status 101, invoke-rc.d starts none.
vz_no_daemons() {
	VZ_POLICY=/usr/sbin/policy-rc.d
	[ -e $VZ_POLICY ] && { VZ_POLICY=; return; }
	printf '#!/bin/sh\nexit 101\n' >$VZ_POLICY && chmod 755 $VZ_POLICY
}

vz_allow_daemons() {
	[ -z "${VZ_POLICY:-}" ] || rm -f "$VZ_POLICY"
	VZ_POLICY=
}

# vz_install PACKAGE... installs what is missing; says so; does nothing where all is there
vz_install() {
	local missing
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		vz_die "no apt-get here: this script installs Debian packages" \
			"install the equivalents of: $*"
	fi
	missing=$(vz_missing "$@")
	if [ -z "$missing" ]; then
		vz_say "packages: all there"
		return
	fi
	[ "$(id -u)" = 0 ] || vz_die "these packages are missing: $missing" \
		"sudo apt-get install $missing"
	vz_say "packages: installing $missing"
	trap vz_allow_daemons EXIT
	vz_no_daemons
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq || vz_die "apt-get update did not work"
	# shellcheck disable=SC2086 # a list of words
	apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null ||
		vz_die "apt-get install did not work" "apt-get install $missing"
	vz_allow_daemons
	trap - EXIT
}

# What the browser tests need from the npm registry, exactly as package-lock.json names it.
# Without it they are skipped, so that this is no failure.
vz_npm() {
	local folder=$VZ_ROOT/integration/browser
	local stamp=$folder/node_modules/.installed-lock.json
	if cmp -s "$folder/package-lock.json" "$stamp"; then
		vz_say "npm packages: all there"
		return
	fi
	vz_say "npm packages: installing those of integration/browser/package-lock.json"
	if (cd "$folder" && npm ci --ignore-scripts --omit=optional </dev/null) >"$folder/.npm.log" 2>&1; then
		cp "$folder/package-lock.json" "$stamp"
		rm -f "$folder/.npm.log"
	else
		tail -n 3 "$folder/.npm.log"
		printf 'npm ci did not work in integration/browser: the browser tests will be skipped\n'
		printf '  try: cd integration/browser && npm ci --ignore-scripts\n'
	fi
}

# vz_build PRESET configures and builds; quiet unless it fails
vz_build() {
	local log="$VZ_ROOT/build/$1.log"
	mkdir -p "$VZ_ROOT/build"
	vz_say "build: $1 (build/$1)"
	if ! (cd "$VZ_ROOT" && cmake --preset "$1" && cmake --build --preset "$1") >"$log" 2>&1; then
		tail -n 40 "$log"
		printf 'build of %s did not work; all of it: build/%s.log\n' "$1" "$1" >&2
		return 1
	fi
}

# The system's Python, not one that a version manager put in front of it.
vz_python() {
	PATH=/usr/bin:/bin:$PATH command -v python3
}
