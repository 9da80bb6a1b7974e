// SPDX-License-Identifier: MIT
// parts.mjs - what the page computes, without a browser: buckets, call trees, words, source, colours.
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { group, test } from '../lib/runner.mjs';

group('parts');

let parts = null;

async function load(world) {
	if (parts) return parts;
	const out = path.join(world.scratch, 'panels.mjs');
	execFileSync('esbuild', ['--bundle', '--format=esm', '--target=es2022', `--outfile=${out}`, '--log-level=warning',
		path.join(world.here, 'lib/panels_entry.ts')]);
	return parts = await import(out);
}

const floats = (...values) => Float64Array.from(values);

test('buckets are those of the index, and wide bars hold the same calls', async (t, world) => {
	const { merged, position, least } = await load(world);
	for (let i = 0; i < 496; i++) t.equal(Math.floor(position(least(i))), i, `bucket of the least duration of bucket ${i}`);
	for (const [ns, bucket] of [[0, 0], [7, 7], [8, 8], [15, 15], [16, 16], [17, 16], [18, 17], [1000, 63], [1e9, 222]])
		t.equal(Math.floor(position(ns)), bucket, `bucket of ${ns} ns`);
	const data = { fn: 0, bucket: floats(3, 16, 960, 1024), count: floats(1, 10, 100, 1000) };
	for (const merge of [1, 2, 4, 8]) {
		const bars = merged(data, merge);
		t.equal(bars.reduce((n, bar) => n + bar.count, 0), 1111, `calls in bars of ${merge}`);
		t.none(bars.filter((bar, i) => i && bar.from !== bars[i - 1].below), `gaps between bars of ${merge}`);
		for (const [i, ns] of data.bucket.entries())
			t.check(bars.some((bar) => bar.from <= ns && ns < bar.below && bar.count >= data.count[i]), `${ns} ns among bars of ${merge}`);
	}
	t.equal(merged({ fn: 0, bucket: floats(), count: floats() }, 1), [], 'no calls, no bars');
});

// root > a 60 (self 10) > c 30, d 5, 15 left out; root > b 40, of which 7 on unknown paths.
const tree = {
	n: 5, parent: Uint32Array.of(0, 0, 0, 1, 1), fn: Uint32Array.of(0, 11, 12, 13, 14), calls: floats(0, 1, 2, 3, 4),
	self: floats(0, 10, 33, 30, 5), total: floats(100, 40 + 20, 40, 30, 5), other: floats(0, 0, 7, 0, 0), pruned: 6,
};

test('a call tree: largest first, paths, and what is not explained', async (t, world) => {
	const { Calls } = await load(world), calls = new Calls(tree);
	t.equal([...calls.children(0)], [1, 2], 'children of the root');
	t.equal([...calls.children(1)], [3, 4], 'children of a');
	t.equal([...new Calls({ ...tree, total: floats(100, 40, 60, 5, 30) }).children(0)], [2, 1], 'the largest is first');
	t.equal(calls.path(4), [0, 1, 4], 'path');
	t.equal(calls.deepest, 2, 'depth');
	t.equal([calls.rest(1), calls.rest(2), calls.rest(0)], [{ other: 0, small: 15 }, { other: 7, small: 0 }, { other: 0, small: 0 }], 'rest');
	t.equal(new Calls({ ...tree, pruned: 0 }).rest(1).small, 0, 'nothing was left out');
	t.equal(calls.hot(0), [0, 1, 3], 'hot path');
});

const functions = {
	files: ['/srv/app.py', 'zlib'], name: ['run', 'compress', ''], file: Int32Array.of(0, 1, -1), line: Uint32Array.of(7, 0, 0),
	kind: Uint8Array.of(1, 2, 0), calls: floats(0, 0, 0),
};
const track = { process: 0, tid: 1, name: 'main', kind: 'thread', begin: 0, end: 9, calls: 1, lost: 0, holes: 0, depth: 1, main: true };
const opened = { trace: { startUnixMs: 1700000000000, tracks: [track, { ...track, name: 'two' }, { ...track, name: 'state', kind: 'state' }] }, functions };
const call = { track: 0, depth: 0, start: 1500, fn: 0, end: 4500, how: 0 };

test('what is unknown is never a number', async (t, world) => {
	const { detailsText, detailsJson } = await load(world);
	const d = { ...call, self: null, children: null, descendants: null, stack: [call], callees: [], args: null };
	const text = detailsText(opened, d), json = JSON.parse(detailsJson(opened, d));
	t.check(/^self +unknown$/m.test(text) && /^calls +unknown direct, unknown in all$/m.test(text), text);
	t.equal([json.self_ns, json.children, json.args, json.name, json.place], [null, null, null, 'run', '/srv/app.py:7'], 'JSON');
});

test('arguments and what came of them, as text', async (t, world) => {
	const { values } = await load(world);
	t.equal(values({ func_args: { a: '1', b: { c: 2 } }, return_value: "'ok'", n: 3, none: null }),
		[['a', '1'], ['b', '{"c":2}'], ['returned', "'ok'"], ['n', '3'], ['none', 'null']], 'values');
	t.equal([values(null), values({ func_args: null })], [[], [['func_args', 'null']]], 'nothing');
});

test('how long a call took, if its begin or end was not seen', async (t, world) => {
	const { stay } = await load(world), how = (entry, leave) => stay({ ...call, how: entry | leave << 2 }).replace(/\u202f/g, ' ');
	t.equal([how(0, 0), how(1, 1), how(2, 2)], ['3.000 µs', '3.000 µs', '3.000 µs'], 'seen whole');
	t.equal([how(3, 0), how(0, 4), how(0, 5), how(3, 3)], Array(4).fill('at least 3.000 µs'), 'one end is missing');
	t.equal(how(0, 3), 'at most 3.000 µs', 'its end is the latest possible');
});

test('threads and clock in words', async (t, world) => {
	const { tracksText, wallClock } = await load(world);
	t.equal([null, [0, 1], [1], []].map((tracks) => tracksText(opened, tracks)), ['all 2 threads', 'main, two', 'two', 'no thread'], 'threads');
	t.check(/:20\.123456$/.test(wallClock(opened.trace, 123456789)), wallClock(opened.trace, 123456789));
	t.equal(wallClock({ startUnixMs: 0 }, 5), 'unknown', 'no clock');
});

test('a comparison is taken as it comes: unknown verdicts, missing sides, nonsense', async (t, world) => {
	const { read } = await load(world);
	const side = { calls: 9, self_ns: 900, whole: 9, mean_ns: 100 };
	const both = read({ a: { path: '/x/a.viz' }, b: { path: 'b.viz' }, compared: 'as recorded', verdicts: { slower: 1, noise: 0 }, folded: 2, functions: [
		{ name: 'run', file: '/srv/app.py', line: 7, verdict: 'slower', difference_ns: 5, ratio: 1.5, a: side, b: side },
		{ name: 'compress', module: 'zlib', line: 0, verdict: 'only in B', difference_ns: 5, ratio: 2, a: null, b: side },
		{ name: 'gone', file: 'x.py', line: 1, verdict: 'odd', difference_ns: 'x', ratio: null, a: side, b: null }, 7, null] }, functions);
	t.equal(both.rows.map((r) => [r.name, r.fn, r.ratio]), [['run', 0, 1.5], ['zlib.compress', 1, null], ['gone', -1, null], ['', -1, null], ['', -1, null]], 'rows');
	t.equal([both.rows[2].difference, both.rows[0].a.mean, both.rows[1].a], [0, 100, null], 'numbers');
	t.equal(both.verdicts, [['slower', 1], ['only in B', 1]], 'verdicts');
	for (const odd of [{}, { functions: 'x', a: 3, verdicts: [] }]) t.equal(read(odd, functions).rows, [], 'nothing of use');
});

test('where a function ends, and its colours', async (t, world) => {
	const { endOf, tokens } = await load(world);
	const lines = ['class A:', '\tdef f(self,', '\t\t\tx):', '\t\t"""doc: of f', '', '\t\tmore"""', '\t\treturn x', '', '\t# of g', '\tdef g(self): pass', 'y = 1'];
	t.equal(endOf(lines, 1, 1), 7, 'method with a doc string');
	t.equal(endOf(lines, 9, 1), 10, 'in one line');
	t.equal(endOf(['@wraps(f)', 'def g():', '    pass', 'x = 1'], 0, 0), 3, 'decorated');
	t.equal(endOf(lines, 99, 0), 100, 'beyond the file');
	const kinds = (text) => tokens(text).filter(([, cls]) => cls).map(([token, cls]) => `${cls.slice(2)} ${token}`);
	t.equal(kinds('def f(x=3): # "no"\n\treturn rb"a#b" + \'it\\\'s\' # if'),
		['keyword def', 'number 3', 'comment # "no"', 'keyword return', 'string rb"a#b"', "string 'it\\'s'", 'comment # if'], 'tokens');
	t.equal(kinds('"""two\nlines # in"""\nimporter = 1'), ['string """two\nlines # in"""', 'number 1'], 'a string of two lines');
	const text = 'x = "open\ny = 1 # z\n';
	t.equal(tokens(text).map(([token]) => token).join(''), text, 'nothing is lost');
});

// Who lacks a kind of cone, by Machado, Oliveira and Fernandes 2009, severity 1; on linear red, green, blue.
const VISIONS = {
	usual: [1, 0, 0, 0, 1, 0, 0, 0, 1],
	protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
	deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
	tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const gamma = (x) => Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
const channels = (c) => [0, 8, 16].map((shift) => linear((c >> shift & 255) / 255));

function seen(colour, m) {
	const v = channels(colour), [r, g, b] = [0, 3, 6].map((i) =>
		gamma(Math.max(0, Math.min(1, m[i] * v[0] + m[i + 1] * v[1] + m[i + 2] * v[2]))));
	return (0xff000000 | b << 16 | g << 8 | r) >>> 0;
}

// OKLab: distances in it are about as large as they look; 0.02 is just seen.
function lab(colour) {
	const [r, g, b] = channels(colour), l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b),
		m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b), s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
	return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
		0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}

// Modules that differ, as a part of all pairs.
function toldApart(colours) {
	const labs = colours.map(lab);
	let far = 0, pairs = 0;
	for (const [i, a] of labs.entries())
		for (const b of labs.slice(i + 1)) {
			pairs++;
			far += Math.hypot(...a.map((x, k) => x - b[k])) > 0.02;
		}
	return far / pairs;
}

test('text can be read, modules told apart and durations compared, whatever colours somebody sees', async (t, world) => {
	const { contrast, packed, Palette } = await load(world), n = 900;
	const many = { name: Array.from({ length: n }, (_, i) => 'f' + i), file: Int32Array.from({ length: n }, (_, i) => i % 300),
		files: Array.from({ length: 300 }, (_, i) => `/srv/app/package${i}/m.py`), kind: Uint8Array.from({ length: n }, (_, i) => i < 300 ? 0 : i % 3),
		line: new Uint32Array(n) };
	for (const by of ['module', 'file', 'duration'])
		for (const dark of [false, true])
			for (const [name, vision] of Object.entries(VISIONS)) {
				const p = new Palette(many, by, dark), what = `by ${by}, ${dark ? 'dark' : 'light'}, ${name}`;
				const least = (fills, ink) => Math.min(...[...fills].map((c) => contrast(seen(c, vision), seen(packed(ink), vision))));
				const found = least(by === 'duration' ? p.ramp : p.fills, p.ink), faded = least(by === 'duration' ? p.rampFaded : p.faded, p.inkFaded);
				t.check(Math.min(found, faded) >= (name === 'usual' ? 4.5 : 4), `${what}: contrast ${found.toFixed(2)}, faded ${faded.toFixed(2)}`);
				const apart = toldApart([...p.fills].slice(0, 300).map((c) => seen(c, vision)));
				t.check(apart > 0.9, `${what}: ${(100 * apart).toFixed(1)} % of pairs of modules can be told apart`);
				const light = [...p.ramp].slice(8, 35).map((c) => lab(seen(c, vision))[0]);
				t.none(light.slice(1).filter((l, i) => dark ? l <= light[i] : l >= light[i]), `${what}: longer is not ${dark ? 'lighter' : 'darker'}`);
			}
});
