// SPDX-License-Identifier: MIT
// bench.mjs - what the page costs; started by integration/bench/viewer.py.
//
// usage: node bench.mjs serve VIZVIEW TRACE RUNS | node bench.mjs file VIZVIEW PAGE.html RUNS
// Output: one JSON object; times in seconds (open, first) or ms, memory in bytes.
//
// The browser is driven without its network domain: that would keep up to 100 MB of answers
// in the memory of the renderer.
import fs from 'node:fs';
import puppeteer from 'puppeteer-core';
import { startServer } from './lib/server.mjs';

const [mode, vizview, target, runs] = process.argv.slice(2);
const SIZE = { width: 1600, height: 900 };
const CHROMIUM = process.env.VZ_CHROMIUM ?? '/usr/bin/chromium';
const PATIENCE_MS = 300000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const quantile = (values, share) => values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

// Peak resident memory of the largest renderer.
async function renderer(browser) {
	const cdp = await browser.target().createCDPSession();
	const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
	const peaks = processInfo.filter((one) => one.type === 'renderer').map((one) =>
		Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${one.id}/status`, 'utf8'))?.[1] ?? 0) * 1024);
	await cdp.detach();
	return Math.max(...peaks);
}

// In the page, before anything else: seconds since it was asked for until the first picture and until all
// of the view is drawn, and, while .frames, how long the work of each frame takes and what is between two.
function watch() {
	const bench = window.bench = { first: 0, open: 0, frames: null, drawn: [] };
	const request = window.requestAnimationFrame.bind(window);
	let last = 0;
	window.requestAnimationFrame = (callback) => request((now) => {
		const begin = performance.now();
		callback(now);
		if (bench.frames) bench.drawn.push(performance.now() - begin);
	});
	const opening = () => { // what is visible takes memory to tell
		const view = window.vizview, seen = view?.visible?.();
		if (!bench.first && seen?.slices?.length > 0) bench.first = performance.now() / 1000;
		if (bench.first && view.state.now.opened?.complete && seen.missing === 0) bench.open = performance.now() / 1000;
	};
	const look = (now) => {
		if (!bench.open) opening();
		if (bench.frames) bench.frames.push(now - last);
		last = now;
		request(look);
	};
	request(look);
}

async function open(page, address) {
	page.goto(address, { timeout: PATIENCE_MS }).catch(() => undefined);
	await page.waitForFunction(() => window.bench?.open, { polling: 50, timeout: PATIENCE_MS });
	return page.evaluate(() => ({ open: window.bench.open, first: window.bench.first }));
}

// Times between frames while a key is held.
async function frames(page, keys) {
	await page.evaluate(() => { window.bench.frames = []; });
	for (const [key, ms] of keys) {
		await page.keyboard.down(key);
		await sleep(ms);
		await page.keyboard.up(key);
	}
	const times = (await page.evaluate(() => { const { frames } = window.bench; window.bench.frames = null; return frames; })).slice(2);
	return { p50: quantile(times, 0.5), p95: quantile(times, 0.95) };
}

// Milliseconds of questions, as the page waits for them.
async function questions(page) {
	const out = { table: [], range: [], whole: [], rare: [], common: [], find: [] };
	// A panel asks by itself when the view has come to rest, and a newer question ends an older one.
	await page.evaluate(async () => {
		window.vizview.state.set({ panel: 'details' }); // which asks nothing while no call is selected
		await new Promise((resolve) => setTimeout(resolve, 500));
		await window.vizview.idle();
	});
	const sums = (tree, k, part) => page.evaluate(async (tree, k, part) => {
		const { engine, state } = window.vizview, all = state.now.opened.trace.duration, from = Math.round(all * k);
		const begin = performance.now();
		await engine.aggregate({ from, to: Math.round(from + all * part) + 1, tracks: null }, tree);
		return performance.now() - begin;
	}, tree, k, part);
	const next = (kind, k) => page.evaluate(async (kind, k) => {
		const { engine, state } = window.vizview, { calls } = state.now.opened.functions;
		const order = [...calls.keys()].filter((fn) => calls[fn] > 0).sort((a, b) => calls[a] - calls[b]);
		const fn = kind === 'rare' ? order[k] : order[order.length - 1 - k], begin = performance.now();
		await engine.next([fn], Math.round(state.now.opened.trace.duration * 0.2 * k), 1, null);
		return performance.now() - begin;
	}, kind, k);
	for (let i = 0; i < 5; i++) {
		out.table.push(await sums(false, 0.05 + 0.17 * i, 0.1));
		out.range.push(await sums(true, 0.1 + 0.13 * i, 0.1));
		out.whole.push(await sums(true, 0, 1));
		for (const kind of ['rare', 'common']) out[kind].push(await next(kind, i));
		out.find.push(await page.evaluate(async (k) => {
			const { state } = window.vizview, begin = performance.now();
			state.set({ find: ['get', 'row_1', 'json', 'parse', 'views.py'][k] });
			await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
			return performance.now() - begin;
		}, i));
	}
	return out;
}

async function one(address, out, last) {
	const browser = await puppeteer.launch({ browser: 'chrome', executablePath: CHROMIUM, headless: true, networkEnabled: false,
		defaultViewport: SIZE, timeout: PATIENCE_MS, protocolTimeout: PATIENCE_MS,
		args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] });
	const page = await browser.newPage();
	await page.evaluateOnNewDocument(watch);
	const { open: all, first } = await open(page, address);
	out.open.push(all);
	out.first.push(first);
	out.opened = Math.max(out.opened, await renderer(browser));
	if (last) {
		await page.mouse.move(SIZE.width * 0.6, 200);
		out.zoom = await frames(page, [['w', 2500], ['s', 1500]]);
		out.pan = await frames(page, [['d', 2000], ['a', 2000]]);
		out.draw = quantile(await page.evaluate(() => window.bench.drawn), 0.95);
		out.renderer = Math.max(out.opened, await renderer(browser));
		Object.assign(out, await questions(page));
		out.rendererAsked = Math.max(out.renderer, await renderer(browser));
	}
	await browser.close();
}

const out = { open: [], first: [], opened: 0 };
const server = mode === 'serve' ? await startServer({ vizview }, [target]) : null;
for (let i = 0; i < Number(runs); i++) await one(server ? server.address : `file://${target}`, out, i === Number(runs) - 1);
if (server) {
	out.server = server.memory();
	await server.stop();
}
process.stdout.write(JSON.stringify(out));
process.exit(0);
