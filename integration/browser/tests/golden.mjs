// SPDX-License-Identifier: MIT
// golden.mjs - one picture of each view, of traces that are the same everywhere and forever.
//
// integration/browser.py --golden golden makes them anew; look at them before you commit them.
import { golden } from '../lib/picture.mjs';
import { group, Skip, test } from '../lib/runner.mjs';
import { view } from '../lib/view.mjs';

group('golden');

async function picture(t, world, v, name) {
	await v.page.mouse.move(2, 2);
	await v.until('no work is shown', () => [...document.querySelectorAll('[role=progressbar], progress, .work')].every((e) => !e.checkVisibility()));
	await v.page.waitForTimeout(120); // what fades in
	golden(t, world, name, await v.page.screenshot());
}

// The trace by hand, with a function in focus.
async function hand(t, world, options = {}) {
	if (!world.traces.hand) throw new Skip('this vizview does not import');
	const v = await view(t, world, 'hand', options), trace = await v.trace();
	await v.set({ focus: trace.functions.findIndex((name) => name.startsWith('query (/srv/shop/db.py:41')) });
	return v;
}

for (const theme of ['light', 'dark'])
	test(`timeline, ${theme}`, async (t, world) => {
		const v = await hand(t, world, { dark: theme === 'dark' });
		await v.set({ panelOpen: false });
		await picture(t, world, v, `timeline-${theme}`);
	});

for (const panel of ['table', 'flame', 'tree', 'butterfly', 'histogram'])
	test(panel, async (t, world) => {
		const v = await hand(t, world);
		await v.set({ panel });
		await picture(t, world, v, panel);
	});

test('details', async (t, world) => {
	const v = await hand(t, world);
	await v.press('/');
	await v.page.keyboard.type('pay');
	await v.press('Enter', 'Escape');
	await v.set({ panel: 'details' });
	await picture(t, world, v, 'details');
});

test('range and search', async (t, world) => {
	const v = await hand(t, world);
	const { to } = (await v.timeline()).view;
	await v.press('/');
	await v.page.keyboard.type('render');
	await v.set({ selection: { kind: 'range', from: Math.round(to * 0.3), to: Math.round(to * 0.6), tracks: null }, panel: 'table' });
	await v.page.evaluate(() => document.activeElement.blur());
	await picture(t, world, v, 'range');
});

test('calls close by', async (t, world) => {
	const v = await view(t, world, 'small');
	await v.set({ panelOpen: false });
	await v.look(40000000, 40030000);
	await picture(t, world, v, 'close');
});

test('compare', async (t, world) => {
	const v = await view(t, world, 'small+large');
	await v.set({ panel: 'compare' });
	await v.until('the comparison is there', () => (window.vizview.panels().shown?.total ?? 0) > 0);
	await picture(t, world, v, 'compare');
});

test('help', async (t, world) => {
	const v = await hand(t, world);
	await v.press('?');
	await picture(t, world, v, 'help');
});
