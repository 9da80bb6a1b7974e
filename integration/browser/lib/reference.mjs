// SPDX-License-Identifier: MIT
// reference.mjs - calls of a trace by track of the page, from the exports; what must be drawn.
import { tracks } from './trace.mjs';

// Spans of the trace NAME for each track of TRACE (see View.trace()); null: a track of another kind.
// Names are those of exports; greenlets and what has no thread are found by name.
export function byTrack(world, name, trace) {
	const all = tracks(world, world.traces[name]);
	return trace.tracks.map((track) => {
		if (track.kind === 'counter') return null;
		const pid = trace.processes[track.process].pid;
		const one = all.find((x) => x.tid === track.tid && x.pid === pid && x.name === track.name) ??
			all.find((x) => x.name === track.name);
		return one?.spans ?? [];
	});
}

const key = (start, end, depth, name) => `${start} ${end} ${depth} ${name}`;

// Compares what is drawn of TRACK in (from, to) with SPANS: slices of at least LEAST ns must be there, each
// once and exact; shorter ones may be merged into runs, which must lie over some of them.
// Looks at rows that are in sight as a whole.
export function compare(t, shown, trace, track, spans, least, what) {
	const { from, to } = shown.view, { y } = shown.tracks.find((x) => x.track === track);
	const rows = Math.floor((shown.area.y + shown.area.height - y - 8) / 18);
	const inside = (s) => s.start < to && s.end > from && s.depth < rows;
	const drawn = shown.slices.filter((s) => s.track === track && inside(s));
	const single = drawn.filter((s) => s.count === 1 && s.kind !== 'run');
	const wanted = new Set(spans.filter((s) => inside(s) && s.end - s.start >= least).map((s) => key(s.start, s.end, s.depth, s.name)));
	const every = new Set(spans.filter(inside).map((s) => key(s.start, s.end, s.depth, s.name)));
	const got = single.map((s) => key(s.start, s.end, s.depth, trace.functions[s.fn]));
	const seen = new Set(got);
	t.none([...wanted].filter((k) => !seen.has(k)), `${what}: calls that are not drawn`);
	t.none([...seen].filter((k) => !every.has(k)), `${what}: drawn, but no calls`);
	t.equal(got.length, seen.size, `${what}: drawn twice`);
	const runs = drawn.filter((s) => s.kind === 'run');
	const ofDepth = new Map();
	for (const s of spans.filter(inside)) ofDepth.set(s.depth, [...(ofDepth.get(s.depth) ?? []), s]);
	t.none(runs.filter((r) => !ofDepth.get(r.depth)?.some((s) => s.start <= r.end && s.end >= r.start)).map((r) => `${r.name} ${r.start} ${r.end}`),
		`${what}: runs over nothing`);
	return { wanted: wanted.size, single: single.length, runs: runs.length };
}

// Innermost call of SPANS at a time and depth.
export const callAt = (spans, time, depth) => spans.find((s) => s.depth === depth && s.start <= time && s.end > time);

export function parentOf(spans, call) {
	return spans.find((s) => s.depth === call.depth - 1 && s.start <= call.start && s.end >= call.end);
}

export function childrenOf(spans, call) {
	return spans.filter((s) => s.depth === call.depth + 1 && s.start >= call.start && s.end <= call.end);
}
