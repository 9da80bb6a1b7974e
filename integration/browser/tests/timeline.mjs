// SPDX-License-Identifier: MIT
// timeline.mjs - what is drawn at each scale, and moving about by keys, mouse, wheel and fingers.
import { distance } from '../lib/picture.mjs';
import { byTrack, callAt, childrenOf, compare, parentOf } from '../lib/reference.mjs';
import { group, test } from '../lib/runner.mjs';
import { View, view } from '../lib/view.mjs';

group('timeline');

const TALL = { width: 1200, height: 3000 };
const span = (v) => v.to - v.from;
const middle = (v) => (v.from + v.to) / 2;

// A slice with some width, in sight as a whole.
function wide(shown, least = 40, which = () => true) {
	const { area } = shown;
	return shown.slices.filter((s) => s.kind === 'slice' && s.count === 1 && s.width >= least && which(s) && s.start >= shown.view.from &&
		s.end <= shown.view.to && s.y > area.y && s.y + s.height < area.y + area.height).sort((a, b) => b.width - a.width)[0];
}

// Calls of at least so many ns are drawn one by one at a scale, see viewer/core/format.h.
function finest(shown) {
	const p = span(shown.view) / shown.area.width;
	if (p < 16384) return 0;
	return 16384 * 4 ** Math.floor(Math.log2(p / 16384) / 2);
}

for (const name of ['small', 'scenes']) {
	test(`every call of ${name} is drawn, once and exact, at each scale`, async (t, world) => {
		const v = await view(t, world, name, { viewport: TALL });
		await v.set({ panelOpen: false });
		const trace = await v.trace(), spans = byTrack(world, name, trace);
		// the deepest below, so that all the others are in sight
		const tracks = trace.tracks.map((_, i) => i).sort((a, b) => trace.tracks[a].depth - trace.tracks[b].depth);
		await v.set({ order: tracks });
		let compared = 0;
		for (const part of [1, 1 / 2, 1 / 30, 1 / 1000, 1 / 40000]) {
			const length = trace.duration * part, from = (trace.duration - length) * 0.618;
			await v.look(Math.round(from), Math.round(from + length));
			const shown = await v.timeline();
			t.equal(shown.missing, 0, `tiles still missing at 1/${Math.round(1 / part)}`);
			for (const { track } of shown.tracks)
				compared += compare(t, shown, trace, track, spans[track], finest(shown), `track ${track} at 1/${Math.round(1 / part)}`).single;
		}
		t.check(compared > 500, `only ${compared} slices were compared`);
	});
}

test('the whole trace is counted: runs and slices together hold every call', async (t, world) => {
	const v = await view(t, world, 'small', { viewport: TALL });
	await v.set({ panelOpen: false });
	const shown = await v.timeline(), trace = await v.trace();
	for (const { track, y, height } of shown.tracks) {
		if (y + height > shown.area.y + shown.area.height) continue;
		const sum = shown.slices.filter((s) => s.track === track).reduce((n, s) => n + s.count, 0);
		t.equal(sum, trace.tracks[track].calls, `calls drawn of ${trace.tracks[track].name}`);
	}
});

test('a slice has its colour where it should be, and the ground has another', async (t, world) => {
	const v = await view(t, world, 'small');
	const all = await v.timeline();
	await v.look(all.view.to * 0.4, all.view.to * 0.402);
	await v.page.mouse.move(5, 5);
	const shown = await v.timeline(), picture = await v.picture();
	const slices = shown.slices.filter((s) => s.kind === 'slice' && s.width > 12 && s.y > shown.area.y + 2 &&
		s.y + s.height < shown.area.y + shown.area.height - 2);
	t.check(slices.length > 10, `${slices.length} slices to look at`);
	const colour = new Map();
	let wrong = 0;
	for (const s of slices) {
		const pixel = picture.at(s.x0 + s.width - 4, s.y + 2);
		if (colour.has(s.fn) && distance(colour.get(s.fn), pixel) > 24) wrong++;
		colour.set(s.fn, pixel);
	}
	t.check(wrong <= slices.length / 50, `${wrong} of ${slices.length} slices have another colour than others of the function`);
	t.check(new Set([...colour.values()].map(String)).size > 3, 'several colours');
	const rows = new Map();
	for (const s of shown.slices) rows.set(s.y, Math.max(rows.get(s.y) ?? 0, s.x1));
	const [y, right] = [...rows].find(([, x]) => x < shown.area.x + shown.area.width - 60) ?? [];
	if (y) {
		const ground = picture.at(shown.area.x + shown.area.width - 20, y + 3);
		t.check([...colour.values()].every((c) => distance(c, ground) > 8), `the ground at ${right}, ${y} looks like a slice`);
	}
});

test('W S A D zoom and move; 0 shows all; Backspace goes back', async (t, world) => {
	const v = await view(t, world, 'small');
	const a = (await v.timeline()).view;
	await v.hold('w', 400);
	const b = (await v.timeline()).view;
	t.check(span(b) < span(a) * 0.8, `w: ${span(a)} to ${span(b)} ns`);
	await v.hold('d', 300);
	const c = (await v.timeline()).view;
	t.check(c.from > b.from && Math.abs(span(c) - span(b)) <= span(b) * 1e-6, 'd moves later');
	await v.hold('a', 600);
	const d = (await v.timeline()).view;
	t.check(d.from < c.from, 'a moves earlier');
	await v.hold('s', 300);
	t.check(span((await v.timeline()).view) > span(d), 's zooms out');
	const before = (await v.timeline()).view;
	await v.press('0');
	t.equal((await v.timeline()).view, a, '0: the whole trace');
	await v.press('Backspace');
	t.equal((await v.timeline()).view, before, 'Backspace: where it was');
});

test('the wheel zooms at the pointer, a drag pans exactly, double click zooms to a slice', async (t, world) => {
	const v = await view(t, world, 'small');
	const a = await v.timeline(), x = a.area.x + a.area.width * 0.3, y = a.area.y + 60;
	const at = (shown, px) => shown.view.from + (px - shown.area.x) / shown.area.width * span(shown.view);
	await v.wheel(x, y, 0, -400);
	const b = await v.timeline();
	t.check(span(b.view) < span(a.view) * 0.7, 'it zoomed in');
	t.check(Math.abs(at(a, x) - at(b, x)) < span(b.view) / 200, 'what is under the pointer stayed there');
	await v.drag(x, y, x + 150, y);
	const c = await v.timeline();
	t.check(Math.abs(at(b, x) - at(c, x + 150)) < span(c.view) / 500, 'what was grabbed moved with the pointer');
	await v.wheel(x, y, 200, 0);
	const d = await v.timeline();
	t.check(d.view.from > c.view.from && Math.abs(span(d.view) - span(c.view)) < 2, 'a horizontal wheel pans');
	await v.press('0');
	const slice = wide(await v.timeline(), 5);
	t.need(slice, 'a slice to click');
	await v.page.mouse.dblclick(...View.middle(slice));
	const e = await v.timeline();
	t.check(e.view.from <= slice.start && e.view.to >= slice.end && span(e.view) < (slice.end - slice.start) * 3, 'double click zooms to it');
});

test('two fingers pinch', async (t, world) => {
	const v = await view(t, world, 'small', { touch: true });
	const a = await v.timeline(), y = a.area.y + 80, mid = a.area.x + a.area.width / 2;
	const cdp = await v.page.context().newCDPSession(v.page);
	const touch = (type, off) => cdp.send('Input.dispatchTouchEvent', { type,
		touchPoints: type === 'touchEnd' ? [] : [{ x: mid - off, y, id: 0 }, { x: mid + off, y, id: 1 }] });
	await touch('touchStart', 60);
	for (let off = 80; off <= 240; off += 20) await touch('touchMove', off);
	await touch('touchEnd', 0);
	const b = await v.timeline();
	t.check(span(b.view) < span(a.view) / 2, `fingers apart: ${span(a.view)} to ${span(b.view)} ns`);
	t.check(Math.abs(middle(b.view) - middle(a.view)) < span(a.view) / 20, 'what is between the fingers stays');
});

test('the minimap shows where calls are, and moves the view', async (t, world) => {
	const v = await view(t, world, 'small');
	const whole = (await v.timeline()).view;
	await v.look(whole.to * 0.1, whole.to * 0.2);
	const a = await v.timeline(), map = a.minimap, y = map.y + map.height / 2;
	const picture = await v.picture();
	t.check(picture.colours(map.x, map.y, map.width, map.height) > 3, 'density is drawn');
	await v.drag(map.x + map.width * 0.15, y, map.x + map.width * 0.65, y);
	const b = (await v.timeline()).view;
	t.check(Math.abs(middle(b) - whole.to * 0.65) < whole.to * 0.02, `view around ${middle(b) / whole.to}, expected 0.65`);
	t.check(Math.abs(span(b) - span(a.view)) < span(a.view) * 0.02, 'as wide as before');
});

test('f zooms to the selection; arrows go to parent, child and siblings; n to the next call', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const trace = await v.trace(), spans = byTrack(world, 'scenes', trace);
	const web = trace.tracks.findIndex((track) => track.name === 'web-1');
	await v.set({ pinned: [web] });
	const own = spans[web], requests = own.filter((s) => s.name.startsWith('handle_request'));
	const fn = trace.functions.findIndex((name) => name === requests[3].name);
	t.need(fn >= 0, 'handle_request');
	const selected = async () => (await v.state()).selection.slice;
	const is = async (call, what) => {
		const s = await selected();
		t.equal(s && [s.track, s.start, s.end, s.depth, trace.functions[s.fn]], [web, call.start, call.end, call.depth, call.name], what);
	};
	await v.look(requests[3].start - 20000, requests[3].end + 20000);
	const drawn = (await v.timeline()).slices.find((s) => s.track === web && s.start === requests[3].start && s.fn === fn);
	t.need(drawn, 'the fourth request is drawn');
	await v.click(...View.middle(drawn));
	await is(requests[3], 'clicked');
	await v.press('f');
	const zoom = (await v.timeline()).view;
	t.check(zoom.from <= requests[3].start && zoom.to >= requests[3].end && span(zoom) < 2 * (requests[3].end - requests[3].start), 'f zooms to it');
	const children = childrenOf(own, requests[3]);
	await v.press('ArrowDown');
	await is(children[0], 'down: first child');
	await v.press('ArrowRight');
	await is(children[1], 'right: next sibling');
	await v.press('ArrowLeft');
	await is(children[0], 'left: sibling before');
	await v.press('ArrowUp');
	await is(requests[3], 'up: parent');
	await v.press('ArrowUp');
	await is(parentOf(own, requests[3]), 'up again');
	await v.press('Backspace');
	await is(requests[3], 'Backspace');
	const all = spans.flatMap((list, track) => list.filter((s) => s.name === requests[3].name).map((s) => ({ ...s, track })))
		.sort((a, b) => a.start - b.start || a.track - b.track);
	const at = all.findIndex((s) => s.start === requests[3].start && s.track === web);
	await v.press('n');
	t.equal((await selected()).start, all[at + 1].start, 'n: the next call on any thread');
	await v.press('Shift+N');
	t.equal((await selected()).start, all[at].start, 'Shift n: the one before');
	t.equal((await selected()).track, web, 'of the same thread');
	t.equal(callAt(own, requests[3].start, requests[3].depth)?.start, requests[3].start, 'the reference agrees with itself');
});

test('shift-drag measures a range; it is shaded; Escape ends it', async (t, world) => {
	const v = await view(t, world, 'small');
	const a = await v.timeline(), { area } = a, y = area.y + 50;
	const x0 = area.x + area.width * 0.25, x1 = area.x + area.width * 0.5;
	const before = await v.picture();
	await v.drag(x0, y, x1, y, 'Shift');
	const { selection } = await v.state();
	t.equal(selection.kind, 'range', 'kind of the selection');
	t.check(Math.abs(selection.from - span(a.view) * 0.25) < span(a.view) / 300, `from ${selection.from}`);
	t.check(Math.abs(selection.to - span(a.view) * 0.5) < span(a.view) / 300, `to ${selection.to}`);
	await v.page.mouse.move(5, 5);
	const after = await v.picture();
	let inside = 0, outside = 0;
	for (let x = 4; x < area.width - 4; x += 9) {
		const px = area.x + x, changed = distance(before.at(px, y), after.at(px, y)) > 6;
		if (px > x0 + 3 && px < x1 - 3) inside += changed;
		else if (px < x0 - 3 || px > x1 + 3) outside += changed;
	}
	t.check(outside > 10 && inside <= 2, `shaded outside of it: ${outside} changed outside, ${inside} inside`);
	await v.press('f');
	const zoom = (await v.timeline()).view;
	t.check(zoom.from <= selection.from && zoom.to >= selection.to && span(zoom) < span(selection) * 1.5, 'f zooms to the range');
	await v.press('Escape');
	t.equal((await v.state()).selection.kind, 'none', 'Escape');
});

test('find as you type: hits are counted and marked on the minimap, others stand back', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const trace = await v.trace();
	await v.press('/');
	await v.page.keyboard.type('fibo');
	await v.idle();
	const state = await v.state();
	t.equal(state.find, 'fibo', 'what is looked for');
	const wanted = trace.functions.map((name, i) => /fibo/i.test(name) ? i : -1).filter((i) => i >= 0);
	t.equal(state.hits, wanted, 'functions found');
	const calls = byTrack(world, 'scenes', trace).flat().filter((s) => s && /^fibonacci/.test(s.name)).length;
	await v.until('the number of calls is told', (n) => document.body.innerText.replace(/,/g, '').includes(String(n)) ||
		[...document.querySelectorAll('[title],[aria-label]')].some((e) => `${e.title} ${e.ariaLabel}`.replace(/,/g, '').includes(String(n))), calls);
	await v.until('marks on the minimap', () => window.vizview.visible().minimap.marks.length > 0);
	const shown = await v.timeline();
	t.equal(shown.minimap.marks.reduce((n, m) => n + m.calls, 0), calls, 'calls marked');
	t.check(shown.slices.some((s) => !s.hit), 'what is not found stands back');
	await v.press('Enter');
	const first = await v.state();
	t.equal(first.selection.kind, 'slice', 'Enter goes to a hit');
	t.equal(trace.functions[first.selection.slice.fn].startsWith('fibonacci'), true, 'a call of it');
	await v.press('Escape');
});

test('find looks at files, too, and says when there is nothing', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const trace = await v.trace();
	await v.press('/');
	await v.page.keyboard.type('selectors.py');
	await v.idle();
	t.equal((await v.state()).hits, trace.functions.map((name, i) => /selectors\.py/.test(name) ? i : -1).filter((i) => i >= 0), 'functions of the file');
	await v.press('Escape');
	await v.press('/');
	await v.page.keyboard.type('no such thing');
	await v.idle();
	t.equal((await v.state()).hits, [], 'nothing');
	t.check(/nothing/i.test(await v.page.evaluate(() => document.body.innerText)), 'it says so');
});
