#!/bin/sh
# Fail when a folder includes, or does, what only another may; or when the built payload needs anything.
# usage: layers.sh SOURCE_DIR [PAYLOAD.so]
cd "$1" || exit 2
payload=${2:-}
bad=0

complain() {
	echo "layers: $*" >&2
	bad=1
}

# deny WHAT ALLOWED DIRS...: the regular expression WHAT may appear only in files that match ALLOWED
deny() {
	what=$1 allowed=$2
	shift 2
	if grep -rnE --include='*.[chS]' "$what" "$@" | grep -vE "^($allowed):"; then
		complain "'$what' is only allowed in: $allowed"
	fi
}

# Everything points at payload/wire.h, nothing points back.
deny '#[[:space:]]*include[[:space:]]*"(attach|viewer|tests)/' none payload
deny '#[[:space:]]*include[[:space:]]*"(viewer|tests)/' none attach
deny '#[[:space:]]*include[[:space:]]*"(attach|tests)/' none viewer
deny '#[[:space:]]*include[[:space:]]*"(payload/([^w]|w[^i])|\.\./payload/)' none attach viewer
deny '#[[:space:]]*include[[:space:]]*"\.\.' none attach payload viewer

# The payload runs inside a foreign process: no C library, no CPython headers.
if grep -rnE --include='*.[chS]' '#[[:space:]]*include' payload |
	grep -vE 'include[[:space:]]*("payload/[a-z0-9_]+\.h"|<(stdint|stddef|stdbool|stdarg|limits|[a-z0-9]*intrin|cpuid)\.h>|<(linux|asm)/[a-z_-]+\.h>)'; then
	complain "payload includes only its own and freestanding headers"
fi

# A snapshot only looks.
deny 'vz_target_write|vz_target_open_mem|vz_tracee_(set|syscall)|vz_inject' none attach/snapshot

# Only tracee.c stops threads; comments may name the call.
if grep -rnE --include='*.[ch]' '(^|[^a-z_])ptrace\(' attach payload viewer |
	grep -vE '^[^:]+:[0-9]+:[[:space:]]*(/?\*|//)' | grep -v '^attach/tracee\.c:'; then
	complain "ptrace() is called outside of attach/tracee.c"
fi

# What differs between versions of CPython is data in attach/pyver.c.
deny 'PY_VERSION_HEX|#[[:space:]]*include[[:space:]]*<Python\.h>' none attach payload viewer
# One program touches processes; the other one never does.
deny 'process_vm_|/proc/%' none viewer

if [ -n "$payload" ]; then
	[ -f "$payload" ] || { echo "layers: no $payload" >&2; exit 1; }
	undefined=$(nm -D --undefined-only "$payload"; nm --undefined-only "$payload" 2>/dev/null)
	[ -z "$undefined" ] || complain "the payload has undefined symbols: $undefined"
	if readelf -dW "$payload" | grep -E 'NEEDED|TEXTREL|INIT_ARRAY|FINI_ARRAY'; then
		complain "the payload needs a library, text relocations or constructors"
	fi
	if readelf -lW "$payload" | grep -E 'TLS|INTERP'; then
		complain "the payload has thread-local storage or an interpreter"
	fi
	if readelf -lW "$payload" | grep -E 'LOAD.* RWE|GNU_STACK.* RWE'; then
		complain "the payload has memory that is writable and executable"
	fi
	if readelf -rW "$payload" | grep -oE 'R_X86_64_[A-Z0-9_]+' | grep -vx R_X86_64_RELATIVE; then
		complain "the payload has relocations that need a symbol"
	fi
fi
exit $bad
