// SPDX-License-Identifier: MIT
// browsers.mjs - Chromium by Playwright, Firefox ESR by Puppeteer over WebDriver BiDi.
//
// A page that is opened here is watched: what it asks of the network, its errors, what its
// Content-Security-Policy refused.  Anything that the test did not expect fails it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startProxy } from './proxy.mjs';

export const SIZE = { width: 1200, height: 800 };
const CHROMIUM = process.env.VZ_CHROMIUM ?? '/usr/bin/chromium';
const FIREFOX = process.env.VZ_FIREFOX ?? '/usr/bin/firefox-esr';

export class Watch {
	constructor(allowed) {
		this.allowed = allowed; // of a request's address, beside data: and blob:
		this.problems = [];
		this.expected = [];     // patterns of problems that the test brings about
		this.requests = [];
	}

	expect(...patterns) { this.expected.push(...patterns); }

	problem(text) {
		if (!this.expected.some((pattern) => pattern.test(text))) this.problems.push(text);
	}

	request(url) {
		if (/^(data|blob|about):/.test(url)) return;
		this.requests.push(url);
		if (!this.allowed.some((start) => url.startsWith(start))) this.problem(`request: ${url.slice(0, 200)}`);
	}

	message(type, text) {
		if (type === 'error' || type === 'warning' || type === 'warn') this.problem(`console: ${text}`);
	}
}

function watch(t, page, allowed) {
	const watched = new Watch(allowed);
	page.on('request', (request) => watched.request(request.url()));
	page.on('console', (message) => watched.message(message.type(), message.text()));
	page.on('pageerror', (error) => watched.problem(`uncaught: ${error.message}`));
	page.on('dialog', (dialog) => { watched.problem(`dialog: ${dialog.message()}`); dialog.dismiss(); });
	t.after(async () => t.none(watched.problems.filter((p) =>
		!watched.expected.some((pattern) => pattern.test(p))), 'of the page'));
	return watched;
}

export async function launchChromium() {
	const { chromium } = await import('playwright-core');
	const proxy = await startProxy();
	// --proxy-bypass-list=<-loopback>: even 127.0.0.1 would go to it; contexts say which may be reached
	const browser = await chromium.launch({ executablePath: CHROMIUM, proxy: { server: 'http://per-context' },
		args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb', '--font-render-hinting=none',
			'--disable-lcd-text', '--js-flags=--expose-gc', '--enable-precise-memory-info'] });
	return { browser, proxy, name: 'chromium', close: async () => { await browser.close(); proxy.close(); } };
}

// A page in a fresh context.  ALLOWED: beginnings of addresses it may ask for.
// OPTIONS: offline, dark, viewport, touch.
export async function chromiumPage(t, world, allowed, options = {}) {
	const context = await world.chromium.browser.newContext({
		viewport: options.viewport ?? SIZE, deviceScaleFactor: 1, hasTouch: options.touch ?? false,
		colorScheme: options.dark ? 'dark' : 'light', reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC',
		proxy: { server: `http://127.0.0.1:${world.chromium.proxy.port}`, bypass: options.offline ? '<-loopback>' : '127.0.0.1' },
		permissions: ['clipboard-read', 'clipboard-write'],
	});
	t.after(() => context.close());
	const page = await context.newPage();
	const watched = watch(t, page, allowed);
	const before = world.chromium.proxy.asked.length;
	t.after(async () => t.none(world.chromium.proxy.asked.slice(before), 'asked of the network'));
	if (options.offline) await context.setOffline(true);
	page.setDefaultTimeout(15000);
	return { page, context, watched };
}

export async function launchFirefox() {
	const puppeteer = (await import('puppeteer-core')).default;
	const proxy = await startProxy();
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vizattach-firefox-'));
	const browser = await puppeteer.launch({ browser: 'firefox', executablePath: FIREFOX, headless: true,
		userDataDir: folder, extraPrefsFirefox: {
			'network.proxy.type': 1, 'network.proxy.http': '127.0.0.1', 'network.proxy.http_port': proxy.port,
			'network.proxy.ssl': '127.0.0.1', 'network.proxy.ssl_port': proxy.port,
			'services.settings.server': 'data:,#remote-settings-dummy/v1',
			'layout.css.devPixelsPerPx': '1.0',
		} });
	const close = async () => {
		await browser.close();
		proxy.close();
		fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
	};
	return { browser, proxy, name: 'firefox', close };
}

export async function firefoxPage(t, world, allowed, options = {}) {
	world.firefox ??= await launchFirefox();
	const page = await world.firefox.browser.newPage();
	t.after(() => page.close());
	const watched = watch(t, page, allowed);
	const before = world.firefox.proxy.asked.length;
	t.after(async () => t.none(world.firefox.proxy.asked.slice(before), 'asked of the network'));
	await page.setViewport({ ...(options.viewport ?? SIZE), deviceScaleFactor: 1 });
	return { page, watched };
}
