// SPDX-License-Identifier: MIT
// states.mjs - help, hints, progress, damage, errors; names of controls; keyboard only.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { chromiumPage } from '../lib/browsers.mjs';
import { group, test } from '../lib/runner.mjs';
import { serve } from '../lib/server.mjs';
import { exported } from '../lib/trace.mjs';
import { address, View, view } from '../lib/view.mjs';

group('states');

test('? shows all keys, Escape closes it, and the focus is where it was', async (t, world) => {
	const v = await view(t, world, 'scenes');
	await v.press('?');
	const dialog = v.page.getByRole('dialog');
	await dialog.waitFor();
	const text = await dialog.innerText();
	for (const key of ['w', 'f', 'n', '/', 'Backspace']) t.check(text.includes(key), `the help does not name ${key}`);
	await v.press('Escape');
	await dialog.waitFor({ state: 'hidden' });
	const { view: before } = await v.timeline();
	await v.press('?', '0');
	t.equal((await v.timeline()).view, before, 'behind the help no key works');
});

test('three hints for the first time, never again', async (t, world) => {
	const v = await view(t, world, 'scenes', { hints: true });
	const hint = v.page.getByRole('note', { name: 'Hint' });
	await hint.waitFor();
	t.check(/1 of 3/.test(await hint.innerText()), 'the first of three');
	await hint.getByRole('button', { name: 'Next' }).click();
	await hint.getByRole('button', { name: 'Next' }).click();
	await hint.getByRole('button', { name: 'Got it' }).click();
	await hint.waitFor({ state: 'detached' });
	await v.page.reload();
	await v.opened();
	t.equal(await v.page.getByRole('note', { name: 'Hint' }).count(), 0, 'hints after a reload');
});

for (const [name, words] of [['cut', /end of the recording|cut/i], ['scribbled', /cannot be read/i], ['lossy', /lost/i]])
	test(`a trace that is ${name} opens up to the damage and says so`, async (t, world) => {
		const v = await view(t, world, name, { viewport: { width: 1200, height: 3000 } });
		const shown = await v.timeline(), trace = await v.trace();
		t.check(shown.slices.length > 20, `${shown.slices.length} slices`);
		t.check(trace.warnings.some((w) => words.test(w.what)), JSON.stringify(trace.warnings));
		await v.page.getByRole('button', { name: /What is wrong|^⚠/ }).click();
		t.check(words.test(await v.page.getByRole('dialog').innerText()), 'the dialog says what is wrong');
		if (name !== 'cut') t.check(shown.gaps.length > 0, 'the place is hatched');
	});

for (const [name, words] of [['newer', /version 99/], ['text', /not a trace/], ['empty', /empty/]])
	test(`a file that is ${name} is refused in three lines`, async (t, world) => {
		const done = spawnSync(world.vizview, [world.traces[name], '--no-open'], { timeout: 10000, encoding: 'utf8' });
		t.equal(done.status, 1, 'exit status');
		t.check(words.test(done.stderr) && done.stderr.trim().split('\n').length <= 3, done.stderr);
	});

test('a page whose data is newer, cut, or wrong says so', async (t, world) => {
	const whole = fs.readFileSync(exported(world, world.traces.scenes, 'html'), 'utf8');
	const events = [...whole.matchAll(/<script[^>]*class="vz-events"[^>]*>/g)], last = events[events.length - 1];
	t.need(last, 'the HTML file has embedded events');
	const data = last.index + last[0].length, end = whole.indexOf('<', data);
	const cases = {
		newer: whole.replace(/data-embed="\d+"/, 'data-embed="9999"'),
		cut: whole.slice(0, Math.floor((data + end) / 2)),
		wrong: whole.slice(0, data + 40) + whole.slice(data + 40, end - 40).replace(/[A-Za-z]/g, 'A') + whole.slice(end - 40),
	};
	for (const [name, text] of Object.entries(cases)) {
		const file = path.join(world.scratch, `damaged-${name}.html`);
		fs.writeFileSync(file, text);
		const { page, watched } = await chromiumPage(t, world, [`file://${file}`], { offline: true });
		watched.expect(/./);
		await page.goto(`file://${file}`);
		await page.waitForFunction(() => {
			const told = document.querySelector('[role=alert]')?.innerText ?? '';
			return told.length > 10 || window.vizview?.state.now.opened?.trace.warnings.length > 0;
		}, undefined, { timeout: 10000 }).catch(() => t.check(false, `${name}: nothing is said within 10 s`));
		await page.screenshot({ path: path.join(world.shots, `states damaged-${name}.png`) });
		await page.close();
	}
});

test('the server is gone: the page says so and stays usable', async (t, world) => {
	const server = await serve(t, world, [world.traces.large]);
	const { page, watched } = await chromiumPage(t, world, [server.address]);
	watched.expect(/ERR_CONNECTION_REFUSED|Failed to load|Failed to fetch|uncaught/i);
	const v = await new View(page, watched).open(server.address);
	const whole = (await v.timeline()).view;
	await server.stop();
	await page.evaluate((to) => window.vizview.state.set({ view: { from: to * 0.41, to: to * 0.4101 } }), whole.to);
	await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
	t.check(/server|vizview/i.test(await page.getByRole('alert').innerText()), await page.getByRole('alert').innerText());
	await page.evaluate((view) => window.vizview.state.set({ view }), whole);
	await page.screenshot({ path: path.join(world.shots, 'states server-gone.png') });
});

test('what takes time shows its progress', async (t, world) => {
	const base = await address(world, 'large');
	const { page, watched } = await chromiumPage(t, world, [base]);
	watched.expect(/503/);
	let asked = 0, held = true;
	await page.route(/\/progress$/, async (route) => {
		asked++;
		if (held) await route.fulfill({ json: { what: 'building the index', done: 0.4, complete: false } });
		else await route.continue();
	});
	await page.route(/\/index$/, async (route) => { if (held) await route.fulfill({ status: 503, body: '' }); else await route.continue(); });
	await page.goto(base);
	const bar = page.getByRole('progressbar');
	await bar.waitFor();
	t.check(/building the index/.test(await page.locator('body').innerText()), 'it says what is done');
	t.check(/40/.test(await page.locator('body').innerText()), 'and how far');
	t.check(asked > 0, 'it asked');
	held = false;
	await new View(page, watched).opened();
	t.equal(await page.getByRole('progressbar').count(), 0, 'progress when all is there');
});

// ---- for everybody ----

test('every control has a name, in each panel', async (t, world) => {
	const v = await view(t, world, 'scenes', { hints: true });
	const cdp = await v.page.context().newCDPSession(v.page);
	const roles = new Set(['button', 'textbox', 'searchbox', 'checkbox', 'combobox', 'tab', 'slider', 'link', 'menuitem', 'radio', 'listbox', 'grid', 'treegrid', 'spinbutton', 'switch', 'dialog', 'application', 'image', 'option']);
	const fn = (await v.trace()).functions.findIndex((name) => name.startsWith('handle_request'));
	await v.set({ focus: fn });
	for (const panel of ['details', 'table', 'flame', 'tree', 'butterfly', 'histogram', 'compare']) {
		await v.set({ panel });
		const { nodes } = await cdp.send('Accessibility.getFullAXTree');
		const nameless = nodes.filter((n) => !n.ignored && roles.has(n.role?.value) && !n.name?.value?.trim());
		t.none(nameless.map((n) => n.role.value), `${panel}: without a name`);
		t.check(nodes.filter((n) => !n.ignored && roles.has(n.role?.value)).length > 10, `${panel}: controls are in the tree`);
	}
});

test('all is reached by Tab, and what has the focus is seen', async (t, world) => {
	const v = await view(t, world, 'scenes');
	const reached = new Set();
	const unseen = [];
	for (let i = 0; i < 90; i++) {
		await v.page.keyboard.press('Tab');
		const here = await v.page.evaluate(() => {
			const e = document.activeElement;
			const look = () => [e, e.parentElement ?? e, e.firstElementChild ?? e].flatMap((one) => ['', '::before', '::after'].map((part) => {
				const { outline, boxShadow, borderColor, backgroundColor } = getComputedStyle(one, part);
				return [outline, boxShadow, borderColor, backgroundColor].join();
			})).join();
			const focused = look();
			e.blur();
			const blurred = look();
			e.focus();
			return { name: e.getAttribute('aria-label') || e.textContent.trim().slice(0, 30) || e.tagName, role: e.getAttribute('role') || e.tagName,
				ring: focused !== blurred, body: e === document.body };
		});
		if (here.body) break;
		reached.add(`${here.role} ${here.name}`);
		if (!here.ring) unseen.push(`${here.role} ${here.name}`);
	}
	const all = [...reached].join('\n');
	for (const part of ['Overview', 'Timeline', 'Filter tracks', 'Find', 'Collapse', 'tab ']) t.check(all.includes(part), `Tab does not reach ${part}`);
	t.none([...new Set(unseen)], 'no ring around the focus');
});
