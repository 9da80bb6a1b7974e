// SPDX-License-Identifier: MIT
// bench.mjs - what the page costs; started by integration/bench/viewer.py.
//
// usage: node bench.mjs serve VIZVIEW TRACE RUNS | node bench.mjs file VIZVIEW PAGE.html RUNS
// Output: one JSON object; times in seconds (open, first) or ms.
import fs from 'node:fs';
import { launchChromium } from './lib/browsers.mjs';
import { startServer } from './lib/server.mjs';

const [mode, vizview, target, runs] = process.argv.slice(2);
const SIZE = { width: 1600, height: 900 };

const quantile = (values, share) => values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

// Peak resident memory of the renderer, bytes.
async function renderer(browser) {
	const cdp = await browser.newBrowserCDPSession();
	const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
	const peaks = processInfo.filter((one) => one.type === 'renderer').map((one) =>
		Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${one.id}/status`, 'utf8'))?.[1] ?? 0) * 1024);
	return Math.max(...peaks);
}

// Seconds from asking for ADDRESS until the first picture, and until all of the view is drawn.
async function open(page, address) {
	const begin = performance.now();
	await page.goto(address, { waitUntil: 'commit' });
	const first = page.waitForFunction(() => window.vizview?.visible?.()?.slices?.length > 0, undefined, { polling: 'raf', timeout: 300000 })
		.then(() => (performance.now() - begin) / 1000);
	await page.waitForFunction(() => {
		const v = window.vizview, drawn = v?.visible?.();
		return v?.state.now.opened?.complete && drawn?.missing === 0 && drawn.slices.length > 0;
	}, undefined, { polling: 'raf', timeout: 300000 });
	return { open: (performance.now() - begin) / 1000, first: await first };
}

// In the page: how long the work of each frame takes.
function timeDrawing() {
	const request = window.requestAnimationFrame.bind(window);
	window.benchDrawn = [];
	window.requestAnimationFrame = (callback) => callback.isBench ? request(callback) : request((now) => {
		const begin = performance.now();
		callback(now);
		if (window.benchFrames) window.benchDrawn.push(performance.now() - begin);
	});
}

// Times between frames while KEY is held, and of the drawing itself.
async function frames(page, keys) {
	await page.evaluate(() => {
		window.benchFrames = [];
		let last = performance.now();
		const step = (now) => {
			window.benchFrames.push(now - last);
			last = now;
			window.benchGoes = requestAnimationFrame(step);
		};
		step.isBench = true;
		window.benchGoes = requestAnimationFrame(step);
	});
	for (const [key, ms] of keys) {
		await page.keyboard.down(key);
		await page.waitForTimeout(ms);
		await page.keyboard.up(key);
	}
	const times = await page.evaluate(() => { cancelAnimationFrame(window.benchGoes); return window.benchFrames.slice(2); });
	return { p50: quantile(times, 0.5), p95: quantile(times, 0.95) };
}

const timed = (page, what, arg) => page.evaluate(what, arg);

// Milliseconds of questions, as the page waits for them.
async function questions(page) {
	const ask = async (body) => timed(page, body);
	const out = { range: [], whole: [], rare: [], common: [], find: [] };
	// A panel asks by itself when the view has come to rest, and a newer question ends an older one.
	await page.evaluate(async () => {
		window.vizview.state.set({ panelOpen: false });
		await new Promise((resolve) => setTimeout(resolve, 500));
		await window.vizview.idle();
	});
	for (let i = 0; i < 5; i++) {
		out.range.push(await timed(page, async (k) => {
			const { engine, state } = window.vizview, all = state.now.opened.trace.duration, from = Math.round(all * (0.1 + 0.13 * k));
			const begin = performance.now();
			await engine.aggregate({ from, to: Math.round(from + all / 10), tracks: null });
			return performance.now() - begin;
		}, i));
		out.whole.push(await ask(async () => {
			const { engine, state } = window.vizview, begin = performance.now();
			await engine.aggregate({ from: 0, to: state.now.opened.trace.duration + 1, tracks: null });
			return performance.now() - begin;
		}));
		for (const name of ['rare', 'common'])
			out[name].push(await timed(page, async ([kind, k]) => {
				const { engine, state } = window.vizview, { calls } = state.now.opened.functions;
				const order = [...calls.keys()].filter((fn) => calls[fn] > 0).sort((a, b) => calls[a] - calls[b]);
				const fn = kind === 'rare' ? order[k] : order[order.length - 1 - k];
				const begin = performance.now();
				await engine.next([fn], Math.round(state.now.opened.trace.duration * 0.2 * k), 1, null);
				return performance.now() - begin;
			}, [name, i]));
		out.find.push(await timed(page, async (k) => {
			const { state } = window.vizview, begin = performance.now();
			state.set({ find: ['get', 'row_1', 'json', 'parse', 'views.py'][k] });
			await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
			return performance.now() - begin;
		}, i));
	}
	return out;
}

const chromium = await launchChromium();
const out = { open: [], first: [] };
let address = `file://${target}`, server = null;
if (mode === 'serve') {
	server = await startServer({ vizview }, [target]);
	address = server.address;
}
for (let i = 0; i < Number(runs); i++) {
	const context = await chromium.browser.newContext({ viewport: SIZE,
		proxy: { server: `http://127.0.0.1:${chromium.proxy.port}`, bypass: '127.0.0.1' } });
	await context.addInitScript(timeDrawing);
	const page = await context.newPage();
	const { open: all, first } = await open(page, address);
	out.open.push(all);
	out.first.push(first);
	if (i === Number(runs) - 1) {
		await page.mouse.move(SIZE.width * 0.6, 200);
		out.zoom = await frames(page, [['w', 2500], ['s', 1500]]);
		out.pan = await frames(page, [['d', 2000], ['a', 2000]]);
		out.draw = quantile(await page.evaluate(() => window.benchDrawn), 0.95);
		out.renderer = await renderer(chromium.browser);
		Object.assign(out, await questions(page));
		out.rendererAsked = await renderer(chromium.browser);
		if (server) out.server = server.memory();
	}
	await context.close();
}
if (server) await server.stop();
await chromium.close();
process.stdout.write(JSON.stringify(out));
process.exit(0);
