// SPDX-License-Identifier: MIT
// file.mjs - the HTML file: from file://, with the network off; Firefox ESR with file and server.
import fs from 'node:fs';
import { chromiumPage, firefoxPage } from '../lib/browsers.mjs';
import { byTrack, compare } from '../lib/reference.mjs';
import { group, test } from '../lib/runner.mjs';
import { exported, report } from '../lib/trace.mjs';
import { address, View } from '../lib/view.mjs';

group('file');

const where = (world, name) => `file://${exported(world, world.traces[name], 'html')}`;

// Compares what is drawn at some scales, and the sums of the table, with the trace.
async function same(t, world, v, name, scales) {
	await v.set({ panelOpen: false });
	const trace = await v.trace(), spans = byTrack(world, name, trace);
	let compared = 0;
	for (const part of scales) {
		const length = trace.duration * part, from = (trace.duration - length) * 0.618;
		await v.look(Math.round(from), Math.round(from + length));
		const shown = await v.timeline(), p = (shown.view.to - shown.view.from) / shown.area.width;
		const least = p < 16384 ? 0 : 16384 * 4 ** Math.floor(Math.log2(p / 16384) / 2);
		for (const { track } of shown.tracks)
			compared += compare(t, shown, trace, track, spans[track], least, `track ${track} at 1/${Math.round(1 / part)}`).single;
	}
	t.check(compared > 100, `only ${compared} slices were compared`);
	await v.set({ panelOpen: true, panel: 'table', view: { from: 0, to: trace.duration } });
	const rows = await v.page.evaluate(async () => {
		const range = { from: 0, to: window.vizview.state.now.opened.trace.duration + 1, tracks: null };
		return (await window.vizview.engine.aggregate(range, false)).rows.map((row) => `${row.calls} ${row.resumes} ${row.self} ${row.total}`).sort();
	});
	t.equal(rows, report(world, world.traces[name]).functions.map((row) => `${row.calls} ${row.resumes} ${row.self_ns} ${row.total_ns}`).sort(), 'sums of all functions');
}

const SCALES = [1, 1 / 30, 1 / 1000];

for (const name of ['scenes', 'small'])
	test(`the HTML of ${name} opens from a file, offline, without one request, and shows all`, async (t, world) => {
		const url = where(world, name);
		const { page, watched } = await chromiumPage(t, world, [url], { offline: true, viewport: { width: 1200, height: 3000 } });
		const v = await new View(page, watched).open(url);
		await same(t, world, v, name, SCALES);
		t.equal(watched.requests, [url], 'requests');
	});

test('the HTML forbids itself every request', async (t, world) => {
	const text = fs.readFileSync(exported(world, world.traces.scenes, 'html'), 'utf8');
	const policy = /<meta[^>]*Content-Security-Policy[^>]*content="([^"]*)"/i.exec(text)?.[1] ?? '';
	t.check(/default-src 'none'/.test(policy), `policy: ${policy}`);
	t.check(!/connect-src(?! 'none')|\*|https?:|unsafe-eval'(?<!wasm-unsafe-eval')/.test(policy), `policy allows too much: ${policy}`);
	t.none((text.match(/<[a-z]+\s[^>]*(?:src|href)="(?!data:)[^"]*"/gi) ?? []), 'it refers to other files');
	const url = where(world, 'scenes');
	const { page, watched } = await chromiumPage(t, world, [url], { offline: true });
	watched.expect(/Content Security Policy|Refused|violates/i, /request: http:\/\/127\.0\.0\.1:9/);
	await new View(page, watched).open(url);
	const tried = await page.evaluate(async () => {
		const fetched = await fetch('http://127.0.0.1:9/x').then(() => 'sent', () => 'refused');
		const violations = [];
		document.addEventListener('securitypolicyviolation', (e) => violations.push(e.effectiveDirective));
		const image = new Image();
		image.src = 'http://127.0.0.1:9/y.png';
		await new Promise((resolve) => setTimeout(resolve, 100));
		return { fetched, violations };
	});
	t.equal(tried.fetched, 'refused', 'fetch');
	t.check(tried.violations.some((one) => /img-src|default-src/.test(one)), `image: ${tried.violations}`);
});

test('a file of a million calls opens offline', async (t, world) => {
	const url = where(world, 'large');
	const { page, watched } = await chromiumPage(t, world, [url], { offline: true });
	const v = await new View(page, watched).open(url), trace = await v.trace();
	t.equal(trace.calls, report(world, world.traces.large).calls + report(world, world.traces.large).resumes, 'calls');
	t.check((await v.timeline()).slices.length > 100, 'slices');
	const bytes = fs.statSync(exported(world, world.traces.large, 'html')).size;
	t.check(bytes < 5 * trace.calls + 150 * 1024 * 1.02, `${bytes} bytes for ${trace.calls} calls`);
});

// ---- Firefox ----

test('Firefox ESR opens the HTML file and shows all; keys and wheel work', async (t, world) => {
	const url = where(world, 'scenes');
	const { page, watched } = await firefoxPage(t, world, [url], { viewport: { width: 1200, height: 3000 } });
	const v = await new View(page, watched).open(url);
	await page.screenshot({ path: `${world.shots}/firefox file.png` });
	await same(t, world, v, 'scenes', [1, 1 / 60]);
	const a = (await v.timeline()).view;
	await v.hold('w', 300);
	const b = await v.timeline();
	t.check(b.view.to - b.view.from < (a.to - a.from) * 0.9, 'w zooms in');
	await v.wheel(b.area.x + 200, b.area.y + 50, 0, -300);
	const c = (await v.timeline()).view;
	t.check(c.to - c.from < (b.view.to - b.view.from) * 0.9, 'the wheel zooms in');
});

test('Firefox ESR with a server', async (t, world) => {
	const base = await address(world, 'small');
	const { page, watched } = await firefoxPage(t, world, [base], { viewport: { width: 1200, height: 3000 } });
	const v = await new View(page, watched).open(base);
	await same(t, world, v, 'small', [1, 1 / 300]);
	await page.screenshot({ path: `${world.shots}/firefox server.png` });
});
