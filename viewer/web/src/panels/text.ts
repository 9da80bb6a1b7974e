// SPDX-License-Identifier: MIT
// text.ts - functions, calls, tracks and ranges in words.
import { Entry, Leave, type Functions, type Opened, type Range, type Slice, type SliceDetails,
	type TraceInfo } from '../engine';
import { count, duration, exact, moment, place, title } from '../units';

export const UNKNOWN = 'unknown';

// The place with the last two names of its path only.
export function shortPlace(f: Functions, fn: number): string {
	return place(f, fn).replace(/^.*\/(?=[^/]*\/[^/]*$)/, '');
}

export const entry = (how: number): Entry => how & 3;
export const leave = (how: number): Leave => how >> 2;

const ENTRIES = ['called', 'resumed (a generator or coroutine going on)',
	'resumed by an exception thrown into it', 'was running when the recording began'];
const LEAVES = ['returned', 'yielded, or awaited something', 'left by an exception',
	'end not seen; shown is the latest that it can be', 'end lost in a part that cannot be read',
	'was still running when the recording ended'];

export const entryText = (how: number): string => ENTRIES[entry(how)] ?? UNKNOWN;
export const leaveText = (how: number): string => LEAVES[leave(how)] ?? UNKNOWN;

// Its begin, its end: are they what really happened?
export const beginSeen = (s: Slice): boolean => entry(s.how) !== Entry.Open;
export const endSeen = (s: Slice): boolean => leave(s.how) <= Leave.Unwind;

// How long it took: at least so long if one end was not seen.
export function stay(s: Slice): string {
	const text = duration(s.end - s.start);
	if (beginSeen(s) && endSeen(s)) return text;
	return (leave(s.how) === Leave.Unseen && beginSeen(s) ? 'at most ' : 'at least ') + text;
}

// Date and time on the clock of whoever looks at it.
export function wallClock(trace: TraceInfo, ns: number): string {
	if (!(trace.startUnixMs > 0)) return UNKNOWN;
	const at = trace.startUnixMs + ns / 1e6, date = new Date(at);
	if (Number.isNaN(date.getTime())) return UNKNOWN;
	const two = (n: number): string => String(n).padStart(2, '0');
	const us = Math.floor((at - Math.floor(at / 1000) * 1000) * 1000);
	return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:` +
		`${two(date.getMinutes())}:${two(date.getSeconds())}.${String(us).padStart(6, '0')}`;
}

export function plural(n: number, one: string, many = one + 's'): string {
	return count(n) + ' ' + (n === 1 ? one : many);
}

export function trackName(trace: TraceInfo, track: number): string {
	const t = trace.tracks[track];
	return t ? t.name || 'thread ' + t.tid : UNKNOWN;
}

// The threads of a range.
export function tracksText(opened: Opened, tracks: number[] | null): string {
	const calls = opened.trace.tracks.filter((t) => t.kind !== 'state' && t.kind !== 'instants' && t.kind !== 'counter').length;
	const n = tracks ? tracks.length : calls;
	if (tracks && n < 3) return tracks.map((t) => trackName(opened.trace, t)).join(', ') || 'no thread';
	return n >= calls ? n === 1 ? trackName(opened.trace, 0) : `all ${n} threads` : `${n} of ${calls} threads`;
}

// Moments as exact as a range of that length needs.
export function rangeText(range: Range): string {
	const near = (range.to - range.from) / 1000;
	return duration(range.to - range.from) + (range.from > 0 ? ' from ' + moment(range.from, near) : '');
}

// Where a call was, one frame a line, the caller above what it called.
export function stackText(f: Functions, stack: Slice[]): string {
	return stack.map((s, i) => `${'  '.repeat(Math.min(i, 40))}${title(f, s.fn)}  ` +
		`(${place(f, s.fn) || UNKNOWN})  ${stay(s)}`).join('\n');
}

export function detailsText(opened: Opened, d: SliceDetails): string {
	const { functions: f, trace } = opened, known = (n: number | null): string => n === null ? UNKNOWN : count(n);
	const lines = [
		title(f, d.fn),
		'at        ' + (place(f, d.fn) || UNKNOWN),
		'thread    ' + trackName(trace, d.track),
		`start     ${moment(d.start, 1)} after the begin, ${wallClock(trace, d.start)}`,
		`duration  ${stay(d)} (${exact(d.end - d.start)})`,
		'self      ' + (d.self === null ? UNKNOWN : duration(d.self)),
		`calls     ${known(d.children)} direct, ${known(d.descendants)} in all`,
		`how       ${entryText(d.how)}; ${leaveText(d.how)}`,
	];
	for (const [name, value] of values(d.args)) lines.push(`${name} = ${value}`);
	lines.push('', 'stack:', stackText(f, d.stack));
	if (d.callees.length) lines.push('', 'calls of:');
	for (const c of d.callees)
		lines.push(`  ${title(f, c.fn)}  ${plural(c.calls, 'call')}, ${duration(c.total)}, self ${duration(c.self)}`);
	return lines.join('\n') + '\n';
}

// With names instead of numbers, so that it means something elsewhere.
export function detailsJson(opened: Opened, d: SliceDetails): string {
	const { functions: f, trace } = opened;
	const named = (fn: number) => ({ name: title(f, fn), place: place(f, fn) || null });
	return JSON.stringify({
		...named(d.fn), thread: trackName(trace, d.track), start_ns: d.start, duration_ns: d.end - d.start,
		self_ns: d.self, children: d.children, descendants: d.descendants,
		begin_seen: beginSeen(d), end_seen: endSeen(d), entered: entryText(d.how), left: leaveText(d.how),
		args: d.args,
		stack: d.stack.map((s) => ({ ...named(s.fn), start_ns: s.start, duration_ns: s.end - s.start })),
		callees: d.callees.map((c) => ({ ...named(c.fn), calls: c.calls, total_ns: c.total, self_ns: c.self })),
	}, null, 2) + '\n';
}

// Arguments, return value and exception by name, in words; VizTracer keeps the arguments in an object of their own.
export function values(args: Record<string, unknown> | null): [string, string][] {
	return Object.entries(args ?? {}).flatMap(([name, value]): [string, string][] => {
		if (name === 'func_args' && value && typeof value === 'object') return values(value as Record<string, unknown>);
		return [[name === 'return_value' ? 'returned' : name, typeof value === 'string' ? value : JSON.stringify(value) ?? String(value)]];
	});
}
