// SPDX-License-Identifier: MIT
// trace.mjs - what a trace holds, by way of vizview's exports and reports: what pages are compared with.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';

export function vizview(world, ...args) {
	return execFileSync(world.vizview, args, { maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'pipe'] });
}

const cache = new Map();

function once(key, make) {
	if (!cache.has(key)) cache.set(key, make());
	return cache.get(key);
}

// The file that `vizview export` makes of the trace FILE.
export function exported(world, file, format) {
	return once(`${file} ${format}`, () => {
		const out = path.join(world.scratch, `${path.basename(file, '.viz')}.export.${format}`);
		vizview(world, 'export', file, '--format', format, '--limit', '0', '--force', '-o', out);
		return out;
	});
}

export function report(world, file, ...options) {
	return once(`${file} report ${options}`, () =>
		JSON.parse(vizview(world, 'report', file, '--json', '--top', '0', ...options)));
}

// As vizview titles a function of its reports.
export function title(row) {
	if (row.module !== undefined) return row.module ? `${row.module}.${row.name}` : row.name;
	return row.file ? `${row.name} (${row.file}:${row.line})` : row.name;
}

const nanoseconds = (microseconds) => Math.round(microseconds * 1000);

// Where the time of a trace begins, ns of its clock: start_mono_ns of struct vz_file_header.
function begin(file) {
	const header = Buffer.alloc(64), fd = fs.openSync(file);
	fs.readSync(fd, header);
	fs.closeSync(fd);
	return Number(header.readBigUInt64LE(16));
}

// [{tid, name, spans: [{name, start, end, depth, note}]}] of the JSON export, spans by start.
// Times are ns since the begin of the trace.  A frame comes after all that it called, so of two
// that begin together the later one in the file is the outer one.
export function tracks(world, file) {
	return once(`${file} tracks`, () => {
		const found = new Map(), zero = begin(file);
		const track = (e) => {
			const key = `${e.pid}/${e.tid}`;
			if (!found.has(key)) found.set(key, { pid: e.pid, tid: e.tid, name: '', spans: [] });
			return found.get(key);
		};
		for (const e of JSON.parse(fs.readFileSync(exported(world, file, 'json'))).traceEvents) {
			if (e.ph === 'M' && e.name === 'thread_name') track(e).name = e.args.name;
			if (e.ph !== 'X') continue;
			const start = nanoseconds(e.ts) - zero;
			track(e).spans.push({ name: e.name, start, end: start + nanoseconds(e.dur), depth: 0, note: e.args?.note ?? '' });
		}
		for (const one of found.values()) nest(one);
		return [...found.values()];
	});
}

function nest(one) {
	one.spans = one.spans.reverse().sort((a, b) => a.start - b.start || b.end - a.end);
	const stack = [];
	for (const span of one.spans) {
		// what begins where others end is in them only if it is without length
		while (stack.length && stack[stack.length - 1].end < span.start + (span.end > span.start ? 1 : 0)) stack.pop();
		span.depth = stack.length;
		stack.push(span);
	}
}

// Name -> {calls, self, total} of one of tracks(), recursion once.
export function totals(one) {
	const rows = new Map();
	const stack = [];
	const leave = () => {
		const { span, children } = stack.pop();
		const row = rows.get(span.name);
		const length = span.end - span.start;
		row.self += length - children;
		if (--row.active === 0) row.total += length;
		if (stack.length) stack[stack.length - 1].children += length;
	};
	for (const span of one.spans) {
		while (stack.length > span.depth) leave();
		if (!rows.has(span.name)) rows.set(span.name, { calls: 0, self: 0, total: 0, active: 0 });
		const row = rows.get(span.name);
		row.active++;
		row.calls++;
		stack.push({ span, children: 0 });
	}
	while (stack.length) leave();
	return rows;
}
