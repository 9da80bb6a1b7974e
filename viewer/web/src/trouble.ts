// SPDX-License-Identifier: MIT
// trouble.ts - says what went wrong as people need it: what, why, what to try.

import { BadIndex } from './directory';
import type { Warning } from './engine';
import { Unreachable } from './source';

export class TooNew extends Error {}
export class NotSupported extends Error {}

// Everything that the page needs and an old browser may lack.
export function missing(): string | null {
	if (typeof WebAssembly !== 'object') return 'WebAssembly';
	if (typeof Worker !== 'function') return 'Worker';
	if (typeof (self as { DecompressionStream?: unknown }).DecompressionStream !== 'function') return 'DecompressionStream';
	return null;
}

export function explain(error: unknown, embedded: boolean): Warning {
	const why = error instanceof Error ? error.message : String(error);
	if (error instanceof NotSupported) return {
		what: 'This browser cannot show the trace.', why: `It has no ${why}, or it is switched off.`,
		try: 'Firefox 115, Chromium 103, Safari 16.4, or anything newer.',
	};
	if (error instanceof TooNew) return {
		what: 'This file was made by a newer vizview.', why,
		try: 'Its own script should have come with it: get the file again, or export it again.',
	};
	if (embedded) return {
		what: 'This file is damaged.', why, try: 'Get it again; if it is the original, export the trace again.',
	};
	if (error instanceof BadIndex) return {
		what: 'The index of the trace is damaged.', why, try: 'vizview index --force FILE',
	};
	if (error instanceof Unreachable) return {
		what: 'The server does not answer.', why, try: 'Start vizview FILE again; it prints the new address.',
	};
	return { what: 'The trace cannot be shown.', why, try: 'Reload the page.' };
}
