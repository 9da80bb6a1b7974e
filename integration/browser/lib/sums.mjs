// SPDX-License-Identifier: MIT
// sums.mjs - sums over a range of calls, made the slow and simple way from every single call.

const short = (name) => name.replace(/ \([^()]*:\d+\)$/, ''); // as the page titles a function

// Calls of SPANS with the part of each in [from, to), parents before children.
function clipped(spans, from, to) {
	return spans.map((s) => ({ ...s, a: Math.max(s.start, from), b: Math.min(s.end, to) }));
}

// Of lists of spans, one for each track: name -> {calls, self, total, max} within [from, to).  calls counts
// entries, resumes as well, but not what began before the recording.
export function functions(lists, from, to) {
	const rows = new Map();
	for (const spans of lists) {
		const stack = [];
		const leave = () => {
			const { s, children } = stack.pop();
			const length = Math.max(0, s.b - s.a), row = rows.get(s.name);
			row.self += length - children;
			if (!stack.some((x) => x.s.name === s.name)) row.total += length;
			if (stack.length) stack[stack.length - 1].children += length;
		};
		for (const s of clipped(spans, from, to)) {
			while (stack.length > s.depth) leave();
			if (!rows.has(s.name)) rows.set(s.name, { calls: 0, self: 0, total: 0, max: 0 });
			const row = rows.get(s.name);
			if (s.start >= from && s.start < to && !s.note.includes('began before')) row.calls++;
			if (!s.note && s.end >= from && s.end < to) row.max = Math.max(row.max, s.end - s.start);
			stack.push({ s, children: 0 });
		}
		while (stack.length) leave();
	}
	for (const [name, row] of rows) if (!row.calls && !row.total && !row.max) rows.delete(name);
	return rows;
}

// Call paths of all lists, merged: "a;b;c" -> {calls, self, total}; names as the page titles them.
// A function that calls itself directly stays in its path.
export function paths(lists, from, to) {
	const rows = new Map();
	const at = (path) => {
		if (!rows.has(path)) rows.set(path, { calls: 0, self: 0, total: 0 });
		return rows.get(path);
	};
	for (const spans of lists) {
		const stack = [];
		for (const s of clipped(spans, from, to)) {
			const length = Math.max(0, s.b - s.a);
			stack.length = Math.min(stack.length, s.depth);
			const up = stack[stack.length - 1], direct = up?.name === s.name;
			const path = direct ? up.path : up ? `${up.path};${short(s.name)}` : short(s.name);
			if (up) at(up.path).self -= length;
			stack.push({ path, name: s.name });
			const row = at(path);
			row.calls += s.start >= from && s.start < to && !s.note.includes('began before');
			row.self += length;
			if (!direct) row.total += length;
		}
	}
	return rows;
}

export { short };
