// SPDX-License-Identifier: MIT
// engine.mjs - the core in WebAssembly and its glue, in node: behind the server and from an HTML file.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { group, test } from '../lib/runner.mjs';
import { serve } from '../lib/server.mjs';
import { exported, report, title, tracks, vizview } from '../lib/trace.mjs';

group('engine');

let parts = null; // the TypeScript as one module, and the core of the page that is checked in

async function engine(world) {
	if (parts) return parts;
	const out = path.join(world.scratch, 'engine.mjs');
	execFileSync('esbuild', ['--bundle', '--format=esm', '--target=es2022', `--outfile=${out}`, '--log-level=warning',
		path.join(world.here, 'lib/engine_entry.ts')]);
	const code = await import(out);
	const page = fs.readFileSync(path.join(world.here, '../../viewer/web/dist/page.html'), 'utf8');
	for (const [text] of page.matchAll(/[A-Za-z0-9+/]{2000,}={0,2}/g)) {
		const bytes = await code.unpack(text);
		if (bytes[0] === 0 && bytes[1] === 0x61) parts = { ...code, module: await WebAssembly.compile(bytes) };
	}
	return parts;
}

// Queries of a trace that a server has.
async function behindServer(t, world, file) {
	const e = await engine(world);
	const url = (await serve(t, world, [file])).address;
	const documents = await e.openHttp(url, () => undefined);
	const queries = new e.Queries(new e.Core(e.module), new e.HttpSource(url), documents.directory, documents.functions.name.length);
	return { e, url, ...documents, ask: asker(queries), queries };
}

const asker = (queries) => async (what, args = {}) =>
	(await queries.answer({ to: 'call', id: 0, what, with: args }, { cancelled: false })).value;

const everything = { from: 0, to: Infinity, tracks: null };

const elements = (html) => [...html.matchAll(/<script type="text\/plain"([^>]*)>([^<]*)<\/script>/g)].map(([, attributes, text]) => ({
	...Object.fromEntries([...attributes.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value])), text,
}));

// The same of an HTML file, its index built by N workers.
async function fromHtml(world, file, n) {
	const e = await engine(world);
	const all = elements(fs.readFileSync(exported(world, file, 'html'), 'utf8'));
	const head = async (id) => e.unpack(all.find((one) => one.id === id).text);
	const overview = await head('vz-overview');
	const { offset, bytes } = e.readHeader(overview);
	const directory = overview.slice(offset, offset + bytes);
	const functions = JSON.parse(e.toText(await head('vz-functions')));
	const source = new e.EmbedSource(overview);
	const queries = new e.Queries(new e.Core(e.module), source, directory, functions.name.length);
	const view = new e.Directory(directory, 1);
	const built = await Promise.all(Array.from({ length: n }, (_, i) => new Promise((resolve, reject) => {
		const builder = new e.Builder({ module: e.module, directory, nfunctions: functions.name.length,
			tracks: Array.from({ length: view.ntracks }, (_unused, track) => track).filter((track) => track % n === i) },
		(message) => {
			if (message.from === 'built') resolve(message);
			if (message.from === 'failure') reject(new Error(message.message));
		});
		for (const one of all)
			if (one.class === 'vz-events' && Number(one['data-track']) % n === i)
				builder.feed({ track: Number(one['data-track']), blocks: Number(one['data-blocks']), bytes: Number(one['data-bytes']), text: one.text });
		builder.finish();
	})));
	const whole = queries.replace({ to: 'replace', id: 0, overview, parts: built });
	for (const one of all)
		if (one.class === 'vz-args') source.add({ kind: 'args', track: Number(one['data-track']), first: Number(one['data-first']),
			last: Number(one['data-last']), packed: new Uint8Array(Buffer.from(one.text, 'base64')) });
	return { e, directory: whole, functions, ask: asker(queries), damaged: built.reduce((sum, part) => sum + part.damaged, 0), source };
}

const functionTitle = (functions, fn) => title(functions.kind[fn] === 2
	? { name: functions.name[fn], module: functions.files[functions.file[fn]] ?? '' }
	: { name: functions.name[fn], file: functions.files[functions.file[fn]] ?? '', line: functions.line[fn] });

for (const name of ['small', 'scenes', 'lossy'])
	test(`sums of the whole trace ${name} are those of vizview report`, async (t, world) => {
		const file = world.traces[name];
		const { ask, functions } = await behindServer(t, world, file);
		const answer = await ask('aggregate', { range: everything, tree: true });
		const shown = new Map(answer.rows.map((row) => [functionTitle(functions, row.fn), row]));
		const expected = report(world, file).functions;
		t.equal(answer.rows.length, expected.length, 'functions');
		const wrong = [];
		for (const row of expected) {
			const ours = shown.get(title(row));
			if (!ours) wrong.push(`no ${title(row)}`);
			else for (const [member, value] of [['calls', row.calls], ['self', row.self_ns], ['total', row.total_ns]])
				if (ours[member] !== value) wrong.push(`${title(row)}: ${member} ${ours[member]}, not ${value}`);
		}
		t.none(wrong, 'sums');
		const calls = await ask('calls');
		t.none(answer.rows.filter((row) => calls[row.fn] !== row.calls).map((row) => row.fn), 'calls at the opening');
	});

test('next visits each call of a function in order, and back', async (t, world) => {
	const file = world.traces.small;
	const { ask, functions } = await behindServer(t, world, file);
	const calls = await ask('calls');
	const fn = calls.reduce((best, n, i) => n > 5 && n < (calls[best] > 5 ? calls[best] : Infinity) ? i : best, 0);
	const starts = tracks(world, file).flatMap((track) => track.spans).filter((span) => span.name === functionTitle(functions, fn))
		.map((span) => span.start).sort((a, b) => a - b);
	const found = [], back = [];
	for (let at = -1; ;) {
		const slice = await ask('next', { fns: [fn], from: at, direction: 1, tracks: null });
		if (!slice || found.length > 200) break;
		found.push(at = slice.start);
	}
	for (let at = Infinity; ;) {
		const slice = await ask('next', { fns: [fn], from: at, direction: -1, tracks: null });
		if (!slice || back.length > 200) break;
		back.unshift(at = slice.start);
	}
	t.check(found.length > 5, `${found.length} calls`);
	t.equal(found, [...new Set(starts)].slice(0, found.length), 'forwards');
	t.equal(back, found, 'backwards');
});

test('what is drawn in the finest view are the calls of the trace', async (t, world) => {
	const file = world.traces.small;
	const { ask, e, directory, trace, functions } = await behindServer(t, world, file);
	const plan = new e.Directory(directory, 1);
	for (const [i, expected] of tracks(world, file).entries()) {
		if (!expected.spans.length) continue;
		const { spans } = expected;
		const middle = spans[spans.length >> 1].start, from = middle, to = middle + 2e6;
		const track = trace.tracks.findIndex((one) => one.tid === expected.tid);
		const tiles = plan.view([track], from, to, 500);
		const drawn = (await ask('load', { tiles })).flatMap((r) => Array.from({ length: r.n }, (_, k) =>
			`${r.start[k]} ${r.end[k]} ${r.depth[k]} ${functionTitle(functions, r.fn[k])} ${r.count[k]}`)
			.filter((_, k) => r.start[k] < to && r.end[k] > from)).sort();
		const there = spans.filter((span) => span.start < to && span.end > from && !span.note)
			.map((span) => `${span.start} ${span.end} ${span.depth} ${span.name} 1`).sort();
		t.check(there.length > 10, `track ${i}: ${there.length} calls there`);
		t.equal(new Set(drawn).size, drawn.length, `track ${i}: each once`);
		t.none(there.filter((one) => !drawn.includes(one)), `track ${i}: not drawn`);
		break;
	}
});

for (const name of ['small', 'scenes', 'lossy'])
	test(`the index that two workers build of the HTML file of ${name} is that of the server`, async (t, world) => {
		const file = world.traces[name];
		const server = await behindServer(t, world, file);
		const html = await fromHtml(world, file, 2);
		t.equal(html.damaged, 0, 'damaged parts');
		const ours = new html.e.Directory(html.directory, 1), theirs = new html.e.Directory(server.directory, 1);
		for (const member of ['tileT0', 'tileT1', 'tileBytes', 'tileCount', 'tileTrack', 'tileKind', 'tileLevel', 'blockFrom',
			'blockT0', 'blockT1', 'blockNumber', 'blockEntries', 'density'])
			t.equal([...ours[member]], [...theirs[member]], member);
		const all = Array.from({ length: theirs.ntiles }, (_, i) => i);
		const a = await html.source.tiles(ours, all), b = await new html.e.HttpSource(server.url).tiles(theirs, all);
		t.none(all.filter((i) => Buffer.compare(a[i], b[i])), 'tiles that differ');
		const range = { from: ours.duration * 0.3, to: ours.duration * 0.4, tracks: null };
		const one = await html.ask('aggregate', { range, tree: true }), other = await server.ask('aggregate', { range, tree: true });
		t.equal(one.rows, other.rows, 'sums of a range');
		t.equal([...one.tree.total], [...other.tree.total], 'paths of a range');
	});

// Arguments of each call by its number among all, as a page asks for them.
test('details have the arguments of their call, behind the server and in the HTML file', async (t, world) => {
	const json = path.join(world.scratch, 'arguments.json'), file = path.join(world.scratch, 'arguments.viz');
	const calls = Array.from({ length: 5000 }, (_, i) => ({ name: `f${i % 7}`, ph: 'X', pid: 1, tid: 1 + i % 2, ts: i * 10, dur: 6,
		...(i % 3 ? { args: { func_args: { n: i } } } : {}) }));
	fs.writeFileSync(json, JSON.stringify({ traceEvents: calls }));
	vizview(world, 'import', json, '-o', file, '--force');
	const server = await behindServer(t, world, file), html = await fromHtml(world, file, 2);
	for (const [where, ask] of [['server', server.ask], ['HTML', html.ask]])
		for (const i of [0, 1, 2, 2500, 4998, 4999]) {
			const track = server.trace.tracks.findIndex((one) => one.tid === calls[i].tid);
			const slice = await ask('at', { track, time: i * 10000 + 3000, depth: 0 });
			if (!t.check(slice, `${where}: call ${i} is there`)) continue;
			const details = await ask('details', { slice });
			t.equal(details.args, calls[i].args ?? null, `${where}: arguments of call ${i}`);
		}
});
