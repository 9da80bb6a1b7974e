// SPDX-License-Identifier: MIT
// tracks.mjs - tracks of each kind, and what a person does with them; addresses that carry all of it.
import { distance } from '../lib/picture.mjs';
import { byTrack } from '../lib/reference.mjs';
import { group, Skip, test } from '../lib/runner.mjs';
import { view } from '../lib/view.mjs';
import fs from 'node:fs';

group('tracks');

const byName = (shown, name) => shown.tracks.find((track) => track.name === name);

// ---- what there is ----

test('frames that were there at the attach have a torn left edge, those at the end a torn right one', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const shown = await v.timeline(), trace = await v.trace();
	const main = trace.tracks.findIndex((track) => track.main);
	const open = shown.slices.find((s) => s.track === main && trace.functions[s.fn].startsWith('open_before'));
	t.need(open, 'open_before is drawn');
	t.check(open.tornLeft && open.tornRight, 'open_before is torn at both ends');
	const called = shown.slices.find((s) => s.track === main && trace.functions[s.fn].startsWith('play ') && s.kind === 'slice');
	t.check(called && !called.tornLeft && !called.tornRight, 'play began and ended in the recording');
	await v.page.mouse.move(5, 5);
	const picture = await v.picture(), inside = picture.at(open.x0 + 9, open.y + 3);
	let notched = 0;
	for (let y = 1; y < open.height - 2; y++) notched += distance(picture.at(open.x0, open.y + y), inside) > 16;
	t.check(notched >= 3, `the left edge is a straight line: ${notched} pixels cut out`);
});

test('lost records are hatched where they were lost', async (t, world) => {
	const v = await view(t, world, 'lossy');
	const shown = await v.timeline(), trace = await v.trace();
	t.check(trace.lost > 0, 'the page knows that records were lost');
	t.check(shown.gaps.length > 0, 'gaps are drawn');
	t.equal(shown.gaps.reduce((n, g) => n + g.records, 0) > 0, true, 'they say how many records');
	const gap = shown.gaps.filter((g) => g.y > shown.area.y && g.y + 10 < shown.area.y + shown.area.height).sort((a, b) => b.width - a.width)[0];
	t.need(gap, 'a gap in sight');
	await v.look(gap.start - (gap.end - gap.start) * 0.2, gap.end + (gap.end - gap.start) * 0.2);
	const near = (await v.timeline()).gaps.find((g) => g.track === gap.track && g.start === gap.start);
	await v.page.mouse.move(5, 5);
	const picture = await v.picture();
	const seen = new Set();
	for (let x = 6; x < Math.min(60, near.width - 6); x++) seen.add(String(picture.at(near.x + x, near.y + 6)));
	t.check(seen.size >= 2, 'the gap is hatched, not plain');
});

test('processes, counters, instants, tasks of an imported trace', async (t, world) => {
	if (!world.traces.hand) throw new Skip('this vizview does not import');
	const v = await view(t, world, 'hand', { viewport: { width: 1200, height: 2000 } });
	await v.set({ panelOpen: false });
	const trace = await v.trace(), shown = await v.timeline();
	const events = JSON.parse(fs.readFileSync(world.traces.json)).traceEvents;
	t.equal(trace.processes.map((p) => p.name).sort(), ['server', 'worker'], 'processes');
	t.equal(shown.processes.length, 2, 'headings of processes');
	for (const pid of [100, 200]) {
		const values = events.filter((e) => e.ph === 'C' && e.pid === pid).map((e) => e.args.length);
		const counter = shown.counters.find((c) => trace.processes[trace.tracks[c.track].process].pid === pid);
		if (!t.check(counter, `a counter of process ${pid}`)) continue;
		t.equal([counter.points, counter.max], [values.length, Math.max(...values)], `points and maximum of the counter of ${pid}`);
	}
	const instants = shown.slices.filter((s) => s.kind === 'instant');
	t.equal(instants.length, events.filter((e) => e.ph === 'i').length, 'instants');
	const tasks = trace.tracks.map((track, i) => track.kind === 'async' ? i : -1).filter((i) => i >= 0);
	t.equal(new Set(shown.slices.filter((s) => tasks.includes(s.track)).map((s) => s.start)).size, 8, 'tasks');
	t.check(!await v.page.evaluate(() => window.bitten), 'names are text, never markup');
});

// ---- what is done with them ----

test('a track is collapsed and expanded by mouse and keyboard; a process, too', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const a = await v.timeline(), first = a.tracks[0];
	await v.page.getByRole('button', { name: `Collapse ${first.name}` }).first().click();
	const b = await v.timeline();
	t.check(byName(b, first.name).collapsed && byName(b, first.name).height < first.height, 'collapsed by the mouse');
	t.check(b.tracks.length > a.tracks.length || byName(b, a.tracks[1]?.name)?.y < a.tracks[1]?.y, 'the others move up');
	await v.page.getByRole('button', { name: `Expand ${first.name}` }).first().focus();
	await v.press('Enter');
	t.equal(byName(await v.timeline(), first.name).height, first.height, 'expanded by the keyboard');
});

test('a track is pinned, moved, hidden, and all are filtered by name', async (t, world) => {
	const v = await view(t, world, 'scenes', { viewport: { width: 1200, height: 1000 } });
	await v.set({ panelOpen: false, collapsed: (await v.trace()).tracks.map((_, i) => i) });
	const names = (await v.timeline()).tracks.map((track) => track.name);
	await v.page.getByRole('button', { name: 'Pin web-2' }).click();
	let shown = await v.timeline();
	t.equal([shown.tracks[0].name, shown.tracks[0].pinned], ['web-2', true], 'pinned at the top');
	await v.page.getByRole('button', { name: 'Unpin web-2' }).click();
	const label = v.page.getByRole('group', { name: /web-3/ });
	await label.getByRole('button', { name: /Pin/ }).focus();
	await v.press('Alt+ArrowUp');
	shown = await v.timeline();
	const moved = shown.tracks.map((track) => track.name), from = names.indexOf('web-3');
	t.equal(moved.indexOf('web-3'), from - 1, 'moved up by Alt and arrow');
	const one = byName(shown, 'web-3'), other = byName(shown, names[0]);
	await v.drag(60, one.y + one.height / 2, 60, other.y + 2);
	t.equal((await v.timeline()).tracks[0].name, 'web-3', 'dragged to the top');
	await v.page.getByRole('button', { name: 'Options of web-3' }).click();
	await v.page.getByRole('menuitem', { name: /^Hide$|^Hide\b(?! all)/ }).first().click();
	t.check(!byName(await v.timeline(), 'web-3'), 'hidden');
	await v.page.getByRole('button', { name: /hidden/ }).click();
	t.check(byName(await v.timeline(), 'web-3'), 'shown again');
	await v.page.getByRole('searchbox', { name: /Filter tracks/ }).fill('loop');
	t.equal((await v.timeline()).tracks.map((track) => track.name), ['loop'], 'filtered');
	await v.page.getByRole('searchbox', { name: /Filter tracks/ }).fill('');
});

// ---- colours ----

test('colours: by module, file, duration; the same in another trace and after a reload', async (t, world) => {
	const v = await view(t, world, 'small');
	const whole = (await v.timeline()).view;
	const look = async () => {
		await v.look(whole.to * 0.4, whole.to * 0.402);
		await v.page.mouse.move(5, 5);
		const shown = await v.timeline(), picture = await v.picture(), colours = new Map();
		for (const s of shown.slices)
			if (s.width > 12 && s.y > shown.area.y && s.y + 18 < shown.area.y + shown.area.height) colours.set(s.name, String(picture.at(s.x1 - 4, s.y + 2)));
		return colours;
	};
	const module = await look();
	await v.page.reload();
	await v.opened();
	const again = await look();
	const same = [...module].filter(([name, colour]) => again.get(name) === colour).length;
	t.check(same >= module.size * 0.95, `after a reload ${same} of ${module.size} functions have the same colour`);
	await v.set({ colourBy: 'duration' });
	const duration = await look();
	t.check([...module].filter(([name, colour]) => duration.get(name) !== colour).length > module.size / 4, 'by duration looks different');
	await v.set({ colourBy: 'file' });
	const file = await look();
	t.check(new Set(file.values()).size > 2, 'several files, several colours');
});

test('dark and light: as the system says, or as chosen', async (t, world) => {
	const v = await view(t, world, 'small', { dark: true });
	const mean = async () => {
		const picture = await v.picture(), [r, g, b] = picture.at(3, picture.height - 3);
		return (r + g + b) / 3;
	};
	const dark = await mean();
	t.check(dark < 80, `dark: ${dark}`);
	await v.set({ theme: 'light' });
	t.check(await mean() > 170, 'light');
});

// ---- addresses ----

test('the address carries view, selection, panel and tracks', async (t, world) => {
	const a = await view(t, world, 'scenes');
	const trace = await a.trace(), web = trace.tracks.findIndex((track) => track.name === 'web-1');
	const call = byTrack(world, 'scenes', trace)[web].find((s) => s.name.startsWith('handle_request'));
	await a.set({ pinned: [web], view: { from: call.start - 50000, to: call.end + 50000 } });
	const slice = (await a.timeline()).slices.find((s) => s.track === web && s.start === call.start && s.depth === call.depth);
	await a.click(slice.x + slice.width / 2, slice.y + slice.height / 2);
	await a.set({ panel: 'flame', theme: 'dark', colourBy: 'file' });
	await a.until('the address carries the state', () => location.hash.length > 5);
	await new Promise((resolve) => setTimeout(resolve, 600)); // written at leisure
	const hash = await a.page.evaluate(() => location.hash);
	const b = await view(t, world, 'scenes', { hash });
	const one = await a.state(), other = await b.state();
	for (const member of ['panel', 'pinned', 'theme', 'colourBy', 'find', 'hidden'])
		t.equal(other[member], one[member], member);
	t.check(Math.abs(other.view.from - one.view.from) < 1000 && Math.abs(other.view.to - one.view.to) < 1000, 'view');
	t.equal(other.selection.slice?.start, one.selection.slice.start, 'selection');
});

const HOSTILE = ['#', '#%', '#v=NaN,NaN&s=-1,-1,-1,-1', '#v=99999999999999999999,1&s=9999,9999,1e300,77777', '#v=5,1&r=7,7,a,99999&p=__proto__&th=constructor',
	'#pin=99999999,1,1,1,-3&h=a,b&o=' + '9,'.repeat(1000) + '&c=0,0&cp=77', '#q=<img src=x onerror=window.bitten=1>&fl=</script>',
	'#%F0%9F&s=%00%00&' + 'x'.repeat(20000), '#v=0,1&s=0,0,0,0&fo=4294967296&by=toString', '#h=0,1,2,3,4,5,6,7,8'];

test('hostile addresses do no harm', async (t, world) => {
	for (const hash of HOSTILE) {
		const v = await view(t, world, 'scenes', { hash });
		const shown = await v.timeline();
		t.check(Number.isFinite(shown.view.from) && shown.view.to > shown.view.from, `view after ${hash.slice(0, 40)}: ${JSON.stringify(shown.view)}`);
		t.check(!await v.page.evaluate(() => window.bitten), `script run by ${hash.slice(0, 40)}`);
		await v.page.close();
	}
});
