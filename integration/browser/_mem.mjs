import fs from 'node:fs';
import { launchChromium } from './lib/browsers.mjs';
import { startServer } from './lib/server.mjs';
const [vizview, target, mode] = process.argv.slice(2);
const chromium = await launchChromium();
const server = mode === 'file' ? null : await startServer({ vizview }, [target]);
const address = server ? server.address : `file://${target}`;
const context = await chromium.browser.newContext({ viewport: { width: 1600, height: 900 },
	proxy: { server: `http://127.0.0.1:${chromium.proxy.port}`, bypass: '127.0.0.1' } });
const page = await context.newPage();
const cdp = await chromium.browser.newBrowserCDPSession();
const pids = async () => (await cdp.send('SystemInfo.getProcessInfo')).processInfo.filter((p) => p.type === 'renderer').map((p) => p.id);
const stat = (pid) => { try { const t = fs.readFileSync(`/proc/${pid}/status`, 'utf8'); const g = (k) => (Number(new RegExp(k + ':\\s+(\\d+)').exec(t)?.[1]) / 1024).toFixed(0); return `hwm ${g('VmHWM')} rss ${g('VmRSS')} anon ${g('RssAnon')} file ${g('RssFile')} shm ${g('RssShmem')}`; } catch (e) { return 'gone'; } };
const show = async (what) => { for (const p of await pids()) console.log(what.padEnd(24), p, stat(p)); };
await show('blank');
const dump = async (name) => {
	const events = [];
	const on = (e) => events.push(...e.value);
	cdp.on('Tracing.dataCollected', on);
	await cdp.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { recordMode: 'recordUntilFull', includedCategories: ['disabled-by-default-memory-infra'], excludedCategories: ['*'], memoryDumpConfig: { triggers: [] } } });
	await cdp.send('Tracing.requestMemoryDump', { deterministic: false, levelOfDetail: 'detailed' });
	const done = new Promise((r) => cdp.once('Tracing.tracingComplete', r));
	await cdp.send('Tracing.end');
	await done;
	cdp.off('Tracing.dataCollected', on);
	const mine = await pids();
	for (const e of events) {
		if (!mine.includes(e.pid) || !e.args?.dumps?.allocators) continue;
		const a = e.args.dumps.allocators;
		console.log('== dump', name, e.pid);
		for (const [k, v] of Object.entries(a)) {
			const size = parseInt(v.attrs?.size?.value ?? '0', 16), eff = parseInt(v.attrs?.effective_size?.value ?? '0', 16), res = parseInt(v.attrs?.resident_size?.value ?? '0', 16);
			if (size > 400000 && k.split('/').length <= 5) console.log(k.padEnd(90), (size / 1e6).toFixed(1), res ? 'res ' + (res / 1e6).toFixed(1) : '');
		}
	}
};
const begin = performance.now();
let stop = false;
const poll = (async () => { let peak = ''; const list = []; while (!stop) { for (const p of await pids()) { try { const t = fs.readFileSync(`/proc/${p}/statm`, 'utf8').split(' '); list.push([Math.round(performance.now() - begin), p, Math.round(t[1] * 4 / 1024)]); } catch {} } await new Promise((r) => setTimeout(r, 15)); } return list; })();
await page.goto(address, { waitUntil: 'commit' });
await page.waitForFunction(() => { const v = window.vizview, d = v?.visible?.(); return v?.state.now.opened?.complete && d?.missing === 0 && d.slices.length > 0; }, undefined, { polling: 'raf', timeout: 300000 });
console.log('complete', performance.now() - begin);
await show('complete');
await page.waitForTimeout(1500);
stop = true;
const list = await poll;
let last = 0; const out = []; for (const [t, p, m] of list) if (Math.abs(m - last) >= 6) { out.push(`${t}:${m}`); last = m; }
console.log(out.join(' '));
await show('at rest');
console.log(JSON.stringify(await page.evaluate(async () => ({ s: await window.vizview.stats(), m: performance.memory.usedJSHeapSize / 1e6, t: performance.memory.totalJSHeapSize / 1e6 }))));
await dump('rest');
await page.evaluate(() => window.gc());
await page.waitForTimeout(500);
await show('after gc');
await page.mouse.move(960, 200);
for (const [k, ms] of [['w', 2500], ['s', 1500], ['d', 2000], ['a', 2000]]) { await page.keyboard.down(k); await page.waitForTimeout(ms); await page.keyboard.up(k); await show('after ' + k); }
await page.waitForTimeout(1500);
await show('rest');
console.log(JSON.stringify(await page.evaluate(async () => ({ s: await window.vizview.stats(), m: performance.memory.usedJSHeapSize / 1e6, t: performance.memory.totalJSHeapSize / 1e6 }))));
await dump('moved');
await page.evaluate(() => window.gc());
await page.waitForTimeout(500);
await show('after gc');
if (server) await server.stop();
await chromium.close();
process.exit(0);
