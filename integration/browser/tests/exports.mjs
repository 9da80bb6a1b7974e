// SPDX-License-Identifier: MIT
// exports.mjs - what we write is read by other people's readers, and means what it should there.
import fs from 'node:fs';
import path from 'node:path';
import protobuf from 'protobufjs';
import { chromiumPage } from '../lib/browsers.mjs';
import { serveFiles } from '../lib/files.mjs';
import { group, test } from '../lib/runner.mjs';
import { exported, report, title, totals, tracks } from '../lib/trace.mjs';

group('exports');

// ---- speedscope ----

// Its page, with one of our exports opened in its "sandwich", and what it says while importing.
async function speedscope(t, world, format, heading) {
	const folder = path.join(world.here, 'node_modules', 'speedscope', 'dist', 'release');
	const base = await serveFiles(t, folder, { [format]: exported(world, world.traces.scenes, format) });
	const { page, watched } = await chromiumPage(t, world, [base]);
	// It adds begin and duration in floating point: frames that end together do not always do so there.
	watched.expect(/WebGL|GL Driver Message/, /Tried to end|still open at end of profile/);
	const said = [];
	page.on('console', (message) => said.push(message.text()));
	await page.goto(`${base}/#profileURL=${encodeURIComponent(`/data/${format}`)}&title=${heading}`);
	await page.getByText('Sandwich').click();
	await page.waitForFunction(() => document.querySelectorAll('table td').length > 30);
	await page.screenshot({ path: path.join(world.shots, `speedscope-${format}.png`) });
	return { page, said };
}

// Symbol -> [total, self] as it shows them, without their share.
async function symbols(page) {
	return new Map(await page.evaluate(() => [...document.querySelectorAll('table tr')].map((row) =>
		[...row.querySelectorAll('td')].map((cell) => cell.innerText.trim()))
		.filter((cells) => cells.length === 3 && /\(.*%\)/.test(cells[0]) && /\(.*%\)/.test(cells[1]))
		.map(([total, self, name]) => [name, [total, self].map((text) => text.split(' (')[0])])));
}

const UNITS = { ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9 };

// Whether TEXT, which has two decimals, means NS.
function means(text, ns) {
	const [, number, unit] = /^([\d.]+)(\D+)$/.exec(text) ?? [];
	return unit in UNITS && Math.abs(parseFloat(number) - ns / UNITS[unit]) < 0.0051;
}

test("speedscope's importer reads the speedscope export: functions and times of the first thread", async (t, world) => {
	const { page, said } = await speedscope(t, world, 'speedscope', 'scenes');
	t.check(said.some((text) => /speedscope json/.test(text)), `it imported it as something else: ${said}`);
	const shown = await symbols(page);
	const thread = report(world, world.traces.scenes, '--threads').threads.find((one) => one.name === 'MainThread');
	t.check(shown.size > 20, `${shown.size} rows`);
	t.check((await page.locator('body').innerText()).includes('(1/6)'), 'six threads');
	const names = new Map();
	for (const row of thread.functions) {
		const name = row.module ? `${row.module}.${row.name}` : row.name;
		names.set(name, names.has(name) ? null : row); // it shows no file: two of a name are not told apart
	}
	const wrong = [];
	for (const [name, [total, self]] of shown) {
		const row = names.get(name);
		if (row === null) continue;
		if (!row || !means(total, row.total_ns) || !means(self, row.self_ns))
			wrong.push(`${name}: ${total} ${self}, ours ${row?.total_ns} ${row?.self_ns}`);
	}
	t.none(wrong, 'times of functions');
});

test("speedscope's importer reads folded stacks: exact sums of all threads", async (t, world) => {
	const { page, said } = await speedscope(t, world, 'collapsed', 'scenes');
	t.check(said.some((text) => /collapsed stack/.test(text)), `it imported it as something else: ${said}`);
	const rows = new Map(report(world, world.traces.scenes).functions.map((row) => [title(row), row]));
	const wrong = [], shown = await symbols(page);
	for (const [name, [total, self]] of shown) {
		const row = rows.get(name);
		if (!row) {
			t.check(/Thread|web-|loop/.test(name), `a function that is not ours: ${name}`);
			continue;
		}
		const number = (text) => Number(text.replace(/,/g, ''));
		if (number(self) !== row.self_ns) wrong.push(`${name}: self ${self}, ours ${row.self_ns}`);
		if (number(total) !== row.total_ns) wrong.push(`${name}: total ${total}, ours ${row.total_ns}`);
	}
	t.check(shown.size > 20, `${shown.size} rows`);
	t.none(wrong, 'sums');
});

test("speedscope's importer reads the Chrome JSON export", async (t, world) => {
	const { page, said } = await speedscope(t, world, 'json', 'scenes');
	t.check(said.some((text) => /Trace Event Format/.test(text)), `it imported it as something else: ${said}`);
	const shown = await symbols(page);
	const thread = tracks(world, world.traces.scenes).find((one) => one.name === 'MainThread');
	const main = totals(thread);
	const noted = new Set(thread.spans.filter((span) => span.note).map((span) => span.name)); // part of the name there
	const wrong = [];
	for (const [name, [total]] of shown) {
		const row = main.get(name);
		if (row && !noted.has(name) && !means(total, row.total))
			wrong.push(`${name}: ${total}, ours ${row.total}`);
	}
	t.check([...shown.keys()].filter((name) => main.has(name)).length > 15, 'functions known by name');
	t.none(wrong, 'times of functions');
});

// ---- Perfetto ----

// Slices of each track by the rules of Perfetto: interned names, clocks and defaults of sequences.
function perfettoSlices(packets) {
	const sequences = new Map(), named = new Map(), slices = new Map();
	const sequence = (packet) => {
		const id = packet.trustedPacketSequenceId;
		if (!sequences.has(id) || packet.sequenceFlags & 1)
			sequences.set(id, { names: new Map(), track: 0, clock: 0, ns: sequences.get(id)?.ns ?? 0 });
		return sequences.get(id);
	};
	for (const packet of packets) {
		const s = sequence(packet);
		for (const clock of packet.clockSnapshot?.clocks ?? [])
			if (clock.isIncremental) s.ns = Number(clock.timestamp);
		for (const one of packet.internedData?.eventNames ?? []) s.names.set(String(one.iid), one.name);
		const defaults = packet.tracePacketDefaults;
		if (defaults?.trackEventDefaults) s.track = String(defaults.trackEventDefaults.trackUuid);
		if (packet.trackDescriptor)
			named.set(String(packet.trackDescriptor.uuid), packet.trackDescriptor.thread?.threadName ?? packet.trackDescriptor.name);
		if (packet.timestamp !== undefined) s.ns += Number(packet.timestamp);
		const e = packet.trackEvent;
		if (!e) continue;
		const track = e.trackUuid === undefined ? s.track : String(e.trackUuid);
		if (!slices.has(track)) slices.set(track, { stack: [], done: [] });
		const { stack, done } = slices.get(track);
		if (e.type === 1) stack.push({ name: e.name ?? s.names.get(String(e.nameIid)), start: s.ns, depth: stack.length });
		if (e.type === 2) {
			const slice = stack.pop();
			if (!slice) throw new Error(`an end without a begin on track ${track}`);
			done.push({ ...slice, end: s.ns });
		}
	}
	return { named, slices };
}

test('a protobuf decoder reads the Perfetto export: every slice of every thread', async (t, world) => {
	const root = protobuf.parse(fs.readFileSync(path.join(world.here, 'perfetto.proto'), 'utf8')).root;
	const bytes = fs.readFileSync(exported(world, world.traces.scenes, 'perfetto'));
	const decoded = root.lookupType('Trace').toObject(root.lookupType('Trace').decode(bytes), { longs: Number });
	const { named, slices } = perfettoSlices(decoded.packet);
	for (const one of tracks(world, world.traces.scenes)) {
		const uuid = [...named].find(([, name]) => name === one.name)?.[0];
		if (!t.check(uuid !== undefined, `no track ${one.name}; there are ${[...named.values()]}`)) continue;
		const { stack, done } = slices.get(uuid);
		t.equal(stack.length, 0, `${one.name}: slices without an end`);
		const base = Math.min(...done.map((slice) => slice.start)) - one.spans[0].start;
		const line = (s, from) => `${s.start - from} ${s.end - from} ${s.depth} ${s.name}`;
		const want = new Set(one.spans.map((span) => line(span, 0)));
		const got = new Set(done.map((slice) => line(slice, base)));
		t.equal(done.length, one.spans.length, `${one.name}: slices`);
		t.none([...want].filter((x) => !got.has(x)), `${one.name}: missing in Perfetto's`);
	}
});
