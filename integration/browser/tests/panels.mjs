// SPDX-License-Identifier: MIT
// panels.mjs - details and sums, by mouse and keyboard, against sums made from every single call.
import { byTrack, childrenOf } from '../lib/reference.mjs';
import { group, test } from '../lib/runner.mjs';
import { functions, paths, short } from '../lib/sums.mjs';
import { report, title, vizview } from '../lib/trace.mjs';
import { View, view } from '../lib/view.mjs';

group('panels');

const copied = (v) => v.page.evaluate(() => navigator.clipboard.readText());
const tab = (v, name) => v.page.getByRole('tab', { name, exact: true }).click().then(() => v.idle());

// What the panel in front copies as JSON.
async function json(v) {
	await v.page.evaluate(() => document.activeElement?.blur());
	await v.press('Shift+C');
	await v.page.waitForTimeout(30);
	return JSON.parse(await copied(v));
}

// The page with scenes, its tracks and spans.
async function scenes(t, world, options) {
	const v = await view(t, world, 'scenes', options), trace = await v.trace();
	return { v, trace, spans: byTrack(world, 'scenes', trace) };
}

async function select(v, track, call) {
	const margin = Math.max(2000, (call.end - call.start) / 10);
	await v.set({ pinned: [track], view: { from: call.start - margin, to: call.end + margin } });
	const slice = (await v.timeline()).slices.find((s) => s.track === track && s.start === call.start && s.depth === call.depth);
	if (!slice) throw new Error(`${call.name} at ${call.start} is not drawn`);
	await v.click(...View.middle(slice));
}

// ---- details ----

test('details of a call: all facts, its stack, what it called, its source; copied as text and JSON', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world, { viewport: { width: 1400, height: 1100 } });
	const web = trace.tracks.findIndex((track) => track.name === 'web-2'), own = spans[web];
	const call = own.filter((s) => s.name.startsWith('handle_request'))[2];
	await select(v, web, call);
	const shown = await v.panels();
	t.equal(shown.panel, 'details', 'a click opens the details');
	const children = childrenOf(own, call), inside = own.filter((s) => s.depth > call.depth && s.start >= call.start && s.end <= call.end);
	const self = call.end - call.start - children.reduce((n, s) => n + s.end - s.start, 0);
	const d = await json(v);
	t.equal([d.name, d.thread, d.start_ns, d.duration_ns, d.self_ns, d.children, d.descendants],
		['handle_request', 'web-2', call.start, call.end - call.start, self, children.length, inside.length], 'facts');
	t.check(d.place.endsWith('scenes.py:' + /:(\d+)\)$/.exec(call.name)[1]), `place ${d.place}`);
	const stack = own.filter((s) => s.depth <= call.depth && s.start <= call.start && s.end >= call.end).map((s) => short(s.name));
	t.equal(d.stack.map((s) => s.name), stack, 'stack, bottom to top');
	t.equal(shown.shown.stack, [...stack].reverse(), 'stack as shown, innermost first');
	const callees = new Map();
	for (const s of children) callees.set(short(s.name), (callees.get(short(s.name)) ?? 0) + s.end - s.start);
	t.equal(Object.fromEntries(d.callees.map((c) => [c.name, c.total_ns])), Object.fromEntries(d.callees.map((c) => [c.name, callees.get(c.name)])), 'callees');
	t.equal(d.callees.length, callees.size, 'number of callees');
	t.check(shown.shown.source.lines.some((line) => line.includes('def handle_request')), 'its source');
	t.equal(String(shown.shown.source.marked), /:(\d+)$/.exec(d.place)[1], 'marked line');
	await v.press('c');
	await v.page.waitForTimeout(30);
	const text = await copied(v);
	for (const part of ['handle_request', 'web-2', 'stack:', 'check_user']) t.check(text.includes(part), `text without ${part}`);
	await v.page.getByRole('list', { name: /Stack/ }).getByRole('button').nth(1).click();
	await v.idle();
	t.equal((await v.state()).selection.slice.depth, call.depth - 1, 'a click in the stack goes there');
});

test('an exception is told, and what began before the recording is not guessed', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world);
	const web = trace.tracks.findIndex((track) => track.name === 'web-0');
	const denied = spans[web].filter((s) => s.name.startsWith('check_user'))[4];
	await select(v, web, denied);
	t.check(/exception/i.test(JSON.stringify((await v.panels()).shown.facts)), 'left by an exception');
	const main = trace.tracks.findIndex((track) => track.main), open = spans[main].find((s) => s.name.startsWith('open_before'));
	await v.press('0');
	const slice = (await v.timeline()).slices.find((s) => s.track === main && s.depth === open.depth);
	await v.click(...View.middle(slice));
	const facts = JSON.stringify((await v.panels()).shown.facts);
	t.check(/at least/.test(facts) && /when the recording began/.test(facts), `facts of a frame that was open before: ${facts}`);
});

test('arguments and return value of an imported call, as text', async (t, world) => {
	if (!world.traces.hand) return;
	const v = await view(t, world, 'hand'), trace = await v.trace();
	await v.press('/');
	await v.page.keyboard.type('pay');
	await v.press('Enter');
	const { slice } = (await v.state()).selection;
	t.need(slice, 'the call is found');
	t.check(trace.functions[slice.fn].includes('pay'), trace.functions[slice.fn]);
	await v.set({ panel: 'details' });
	const text = await v.page.getByRole('tabpanel').innerText();
	for (const part of ['amount', '250', '<b>Ann & Bob</b>', 'ok']) t.check(text.includes(part), `the details have no ${part}`);
});

// ---- table ----

test('the table of the whole trace is what vizview report says', async (t, world) => {
	for (const name of ['scenes', 'small']) {
		const v = await view(t, world, name);
		const rows = await json(v), want = report(world, world.traces[name]).functions;
		t.equal(rows.length, want.length, `${name}: functions`);
		const key = (row) => `${row.calls} ${row.resumes} ${row.self} ${row.total} ${row.max} ${row.raised}`;
		const ours = new Map();
		for (const row of rows) ours.set(row.name, [...(ours.get(row.name) ?? []), key(row)]);
		const wrong = want.filter((row) => !(ours.get(short(title(row))) ?? []).includes(key({ ...row, self: row.self_ns, total: row.total_ns, max: row.max_ns })));
		t.none(wrong.map((row) => `${title(row)}: ${key({ ...row, self: row.self_ns, total: row.total_ns, max: row.max_ns })}, page ${ours.get(short(title(row)))}`), `${name}: rows`);
		await v.page.close();
	}
});

test('a range dragged in the timeline is summed exactly, on all threads and on one', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world);
	const { area, view: whole } = await v.timeline(), y = area.y + 40;
	await v.drag(area.x + area.width * 0.3, y, area.x + area.width * 0.62, y, 'Shift');
	await tab(v, 'Functions');
	const { selection } = await v.state();
	t.check(selection.to - selection.from < (whole.to - whole.from) / 2, 'a part is selected');
	const check = async (lists, what) => {
		const want = functions(lists, selection.from, selection.to), wrong = [];
		const merged = new Map(); // the page's names have no place
		for (const [name, row] of want) {
			const one = merged.get(short(name)) ?? { calls: 0, self: 0 };
			merged.set(short(name), { calls: one.calls + row.calls, self: one.self + row.self });
		}
		const got = new Map();
		for (const row of await json(v)) {
			const one = got.get(row.name) ?? { calls: 0, self: 0 };
			got.set(row.name, { calls: one.calls + row.calls + row.resumes, self: one.self + row.self });
		}
		for (const [name, row] of merged)
			if (JSON.stringify(got.get(name)) !== JSON.stringify(row) && (row.calls || row.self)) wrong.push(`${name}: ${JSON.stringify(row)}, page ${JSON.stringify(got.get(name))}`);
		for (const name of got.keys()) if (!merged.has(name)) wrong.push(`${name}: only in the page`);
		t.none(wrong, what);
	};
	await check(spans.filter(Boolean), 'all threads');
	const web = trace.tracks.findIndex((track) => track.name === 'web-1');
	await v.set({ selection: { ...selection, tracks: [web] } });
	await check([spans[web]], 'web-1 only');
});

test('the table is sorted and filtered, and Enter goes to the next call', async (t, world) => {
	const { v, trace } = await scenes(t, world);
	await v.page.getByRole('columnheader', { name: 'Calls' }).getByRole('button').click();
	let rows = (await v.panels()).shown.rows;
	const numbers = rows.map((row) => Number(row.Calls.replace(/,/g, '')));
	t.equal(numbers, [...numbers].sort((a, b) => b - a), 'sorted by calls');
	t.equal(rows[0].Function, 'fibonacci', 'most called');
	await v.page.getByRole('searchbox', { name: 'Filter functions and files' }).first().fill('slow_q');
	await v.idle();
	rows = (await v.panels()).shown.rows;
	t.equal(rows.map((row) => row.Function), ['slow_query'], 'filtered');
	await v.press('Enter', 'ArrowDown', 'Enter');
	const { slice } = (await v.state()).selection;
	t.check(slice && trace.functions[slice.fn].startsWith('slow_query'), 'Enter: its next call in the timeline');
	const before = slice.start;
	await v.press('Enter');
	t.check((await v.state()).selection.slice.start > before, 'Enter again: the one after');
});

// ---- flame graph, tree, butterfly ----

test('the flame graph: every box as wide as its time; zoom by click, keys and Escape', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world);
	await tab(v, 'Flame graph');
	const want = paths(spans.filter(Boolean), 0, trace.duration);
	const { boxes } = (await v.panels()).shown, root = boxes.find((b) => b.kind === 'call' && b.fn < 0);
	const top = [...want].filter(([path]) => !path.includes(';'));
	t.equal(root.ns, top.reduce((n, [, row]) => n + row.total, 0), 'time in all calls');
	for (const [path, row] of top.filter(([, one]) => one.total > root.ns / 50))
		t.check(boxes.some((b) => b.name === path && b.ns === row.total), `no box of ${path} with ${row.total} ns`);
	const scale = root.width / root.ns;
	t.none(boxes.filter((b) => b.kind === 'call' && Math.abs(b.width - b.ns * scale) > 1.5).map((b) => b.name), 'boxes of another width');
	const got = await json(v), wrong = [];
	for (const one of got) {
		const row = want.get(one.stack.join(';'));
		if (!row || row.self !== one.self_ns || row.calls !== one.calls) wrong.push(`${one.stack.slice(-2)}: ${one.self_ns} ${one.calls}, from calls ${row?.self} ${row?.calls}`);
	}
	t.none(wrong, 'paths');
	const sum = got.reduce((n, one) => n + one.self_ns, 0);
	t.check(sum <= root.ns && sum > root.ns * 0.98, `sum of all paths: ${sum} of ${root.ns}; only what is too small to see is left out`);
	const box = boxes.find((b) => b.name === 'serve' && b.width > 50);
	t.need(box, 'a box of serve');
	await v.click(box.x + box.width / 2, box.y + 8);
	const zoomed = (await v.panels()).shown;
	const now = zoomed.boxes.find((b) => b.name === 'serve' && b.kind === 'call');
	t.check(now.width > root.width - 3, 'zoomed: as wide as the panel');
	t.equal(trace.functions[(await v.state()).focus].startsWith('serve'), true, 'it is in focus');
	await v.press('Escape');
	t.equal((await v.panels()).shown.zoomed, 0, 'Escape zooms out');
	await v.press('ArrowDown', 'Enter');
	t.check((await v.panels()).shown.zoomed !== 0, 'keys zoom, too');
});

test('the call tree opens by keys and shows exact numbers', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world, { viewport: { width: 1200, height: 1200 } });
	await tab(v, 'Call tree');
	await v.page.getByRole('button', { name: 'Close all' }).click();
	await v.idle();
	const want = paths(spans.filter(Boolean), 0, trace.duration);
	const all = async () => {
		const names = [], wrong = [];
		for (const row of await json(v)) {
			names.length = row.depth;
			names.push(row.name);
			const one = want.get(names.join(';'));
			if (!one || one.total !== row.total_ns || one.self !== row.self_ns || one.calls !== row.calls) wrong.push(`${names.slice(-2)}: ${JSON.stringify(row)}, from calls ${JSON.stringify(one)}`);
		}
		t.none(wrong, 'rows');
	};
	await all();
	const closed = (await v.panels()).shown.total;
	await v.page.getByRole('treegrid').focus();
	await v.press('ArrowDown', 'ArrowRight');
	const opened = (await v.panels()).shown;
	t.check(opened.total > closed && opened.rows.some((row) => row.expanded), 'opened by a key');
	await v.press('*', 'h');
	await all();
	await v.page.getByRole('treegrid').focus();
	await v.press('Home', 'ArrowLeft');
});

test('callers and callees of a function', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world);
	const fn = trace.functions.findIndex((name) => name.startsWith('render '));
	await v.set({ focus: fn, panel: 'butterfly' });
	const { callers, callees } = await json(v);
	const up = new Map(), down = new Map();
	const count = (map, name, row) => {
		const one = map.get(name) ?? { calls: 0, total_ns: 0 };
		map.set(name, { calls: one.calls + row.calls, total_ns: one.total_ns + row.total });
	};
	for (const [path, row] of paths(spans.filter(Boolean), 0, trace.duration)) {
		const names = path.split(';'), last = names.length - 1;
		if (names[last] === 'render') count(up, names[last - 1], row);
		if (names[last - 1] === 'render') count(down, names[last], row);
	}
	const of = (list) => Object.fromEntries(list.map((one) => [one.name, { calls: one.calls, total_ns: one.total_ns }]).sort());
	t.equal(of(callers), Object.fromEntries([...up].sort()), 'callers');
	t.equal(of(callees), Object.fromEntries([...down].sort()), 'callees');
	const shown = (await v.panels()).shown;
	t.check(shown.callers.boxes.some((b) => b.name === 'handle_request') && shown.callees.boxes.some((b) => b.name === 'fibonacci'), 'both are drawn');
});

// ---- histogram ----

test('durations of a function: bars hold all calls, a click lists the slowest, a click on one shows it', async (t, world) => {
	const { v, trace, spans } = await scenes(t, world);
	const fn = trace.functions.findIndex((name) => name.startsWith('handle_request'));
	await v.set({ focus: fn, panel: 'histogram' });
	const lengths = spans.flatMap((own, track) => (own ?? []).filter((s) => s.name === trace.functions[fn] && !s.note).map((s) => ({ ...s, track })));
	let shown = (await v.panels()).shown;
	t.equal(shown.bars.reduce((n, bar) => n + bar.count, 0), lengths.length, 'calls in all bars');
	t.none(shown.bars.filter((bar) => bar.count !== lengths.filter((s) => s.end - s.start >= bar.from && s.end - s.start < bar.below).length), 'bars');
	const slowest = [...lengths].sort((a, b) => (b.end - b.start) - (a.end - a.start));
	t.equal(shown.instances.slice(0, 5).map((s) => s.end - s.start), slowest.slice(0, 5).map((s) => s.end - s.start), 'slowest first');
	const bars = v.page.getByRole('listbox').getByRole('option'), last = shown.bars.length - 1;
	await bars.nth(last).click();
	await v.idle();
	shown = (await v.panels()).shown;
	t.equal(shown.instances.length, shown.bars[last].count, 'calls of the bar that was clicked');
	await v.page.getByRole('grid', { name: 'Slowest calls' }).getByRole('row').nth(1).click();
	await v.idle();
	const { slice } = (await v.state()).selection;
	t.equal([slice.start, slice.track], [slowest[0].start, slowest[0].track], 'the slowest is selected in the timeline');
	const drawn = await v.timeline();
	t.check(drawn.view.from <= slice.start && drawn.view.to >= slice.end, 'and in sight');
});

// ---- compare ----

test('two traces are compared as vizview diff does; verdicts are switched on and off', async (t, world) => {
	const v = await view(t, world, 'small+large');
	await tab(v, 'Compare');
	await v.until('the comparison is there', () => (window.vizview.panels().shown?.total ?? 0) > 0);
	const want = JSON.parse(vizview(world, 'diff', world.traces.small, world.traces.large, '--json', '--min-percent', '0'));
	for (const verdict of Object.keys(want.verdicts).filter((name) => want.verdicts[name])) {
		const chip = v.page.getByRole('button', { name: new RegExp(`^\\S*\\s*${verdict}\\s`) }).first();
		if (await chip.getAttribute('aria-pressed') === 'false') await chip.click();
	}
	await v.idle();
	const rows = await json(v);
	t.equal(rows.length, want.functions.length, 'functions');
	const ours = new Map(rows.map((row) => [row.name, row]));
	t.none(want.functions.filter((row) => ours.get(short(title(row)))?.verdict !== row.verdict).map(title), 'other verdicts');
	const text = await v.page.getByRole('tabpanel').innerText();
	t.check(text.includes('small.viz') && text.includes('large.viz'), 'both files are named');
});

test('with one trace only, the comparison says how to get one', async (t, world) => {
	const { v } = await scenes(t, world);
	await tab(v, 'Compare');
	t.check(/vizview/.test(await v.page.getByRole('tabpanel').innerText()), 'a command is shown');
});
