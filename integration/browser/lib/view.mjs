// SPDX-License-Identifier: MIT
// view.mjs - the page as a person uses it, and what its test interface says it drew.
//
// Works on pages of Playwright and of Puppeteer: only what both have in common is used.
import { chromiumPage } from './browsers.mjs';
import { Picture } from './picture.mjs';
import { startServer } from './server.mjs';

const IDLE_MS = 20000;

// Waits until nothing is under way any more: tiles, queries, panels.  Runs in the page; null, or what is busy.
// vizview.idle() would do, but it also waits for what is asked for ahead of time.
async function untilIdle(limit) {
	const { engine, state, visible, panels } = window.vizview, since = performance.now();
	for (let calm = 0; calm < 3;) {
		await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 4)));
		const drawn = visible(), below = panels();
		const busy = { pending: engine.stats.pending, missing: drawn ? drawn.missing : 'all', panel: below?.busy, waiting: below?.waiting,
			complete: state.now.opened?.complete };
		calm = busy.pending || busy.missing || busy.panel || busy.waiting || !busy.complete ? 0 : calm + 1;
		if (!calm && performance.now() - since > limit) return JSON.stringify(busy);
	}
	return null;
}

export class View {
	constructor(page, watched) {
		this.page = page;
		this.watched = watched;
	}

	// Goes to ADDRESS and waits for the whole picture.
	async open(address) {
		await this.page.goto(address);
		await this.opened();
		return this;
	}

	async opened() {
		await this.page.waitForFunction(() => window.vizview?.state.now.opened?.complete === true, ...this.#limit(20000));
		await this.idle();
	}

	#limit(ms) { return this.page.context ? [undefined, { timeout: ms }] : [{ timeout: ms }]; }

	async idle() {
		const busy = await this.page.evaluate(untilIdle, IDLE_MS);
		if (busy) throw new Error(`the page does not come to rest: ${busy}`);
	}

	// What the timeline drew last, see timeline/visible.ts.
	async timeline() {
		await this.idle();
		return this.page.evaluate(() => window.vizview.visible());
	}

	// What the open panel shows.
	async panels() {
		await this.idle();
		return this.page.evaluate(() => window.vizview.panels());
	}

	// Members of State, without the trace itself.
	async state() {
		return this.page.evaluate(() => ({ ...window.vizview.state.now, opened: null }));
	}

	async set(patch) {
		await this.page.evaluate((change) => window.vizview.state.set(change), patch);
		await this.idle();
	}

	async look(from, to) { await this.set({ view: { from, to } }); }

	// [{name, tid, kind, process, ...}] and names of functions as exports write them.
	async trace() {
		return this.page.evaluate(() => {
			const { trace, functions: f } = window.vizview.state.now.opened;
			const label = (name, fn) => f.kind[fn] === 2 ? (f.file[fn] < 0 ? name : `${f.files[f.file[fn]]}.${name}`)
				: f.file[fn] < 0 ? name : `${name} (${f.files[f.file[fn]]}:${f.line[fn]})`;
			return { ...trace, functions: f.name.map(label) };
		});
	}

	async press(...keys) {
		for (const key of keys) {
			const parts = key.split('+');
			const last = parts.pop();
			for (const modifier of parts) await this.page.keyboard.down(modifier);
			await this.page.keyboard.press(last);
			for (const modifier of parts.reverse()) await this.page.keyboard.up(modifier);
		}
		await this.idle();
	}

	// A key held for MS.
	async hold(key, ms) {
		await this.page.keyboard.down(key);
		await new Promise((resolve) => setTimeout(resolve, ms));
		await this.page.keyboard.up(key);
		await this.idle();
	}

	async click(x, y) {
		await this.page.mouse.click(x, y);
		await this.idle();
	}

	async wheel(x, y, dx, dy) {
		await this.page.mouse.move(x, y);
		if (this.page.context) await this.page.mouse.wheel(dx, dy);
		else await this.page.mouse.wheel({ deltaX: dx, deltaY: dy });
		// a wheel event is delivered later
		await new Promise((resolve) => setTimeout(resolve, 60));
		await this.idle();
	}

	async drag(x0, y0, x1, y1, modifier = null) {
		if (modifier) await this.page.keyboard.down(modifier);
		await this.page.mouse.move(x0, y0);
		await this.page.mouse.down();
		await this.page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, { steps: 3 });
		await this.page.mouse.move(x1, y1, { steps: 3 });
		await this.page.mouse.up();
		if (modifier) await this.page.keyboard.up(modifier);
		await this.idle();
	}

	// Middle of the part of a slice that is in sight.
	static middle(slice) { return [slice.x + slice.width / 2, slice.y + slice.height / 2]; }

	// A screenshot for people.
	async keep(world, name) {
		if (!this.page.isClosed()) await this.page.screenshot({ path: `${world.shots}/${name.replace(/[^\w. -]/g, '_').slice(0, 120)}.png` });
	}

	async picture() { return new Picture(Buffer.from(await this.page.screenshot())); }

	// Something that the page is expected to come to by itself.
	async until(what, condition, ...args) {
		try {
			await this.page.waitForFunction(condition, ...(this.page.context ? [args[0], { timeout: 8000 }] : [{ timeout: 8000 }, args[0]]));
		} catch {
			throw new Error(`not within 8 s: ${what}`);
		}
		await this.idle();
	}
}

// The address of a server for the trace NAME (or several, joined by +); one for the whole run.
export async function address(world, name) {
	world.servers ??= new Map();
	if (!world.servers.has(name))
		world.servers.set(name, await startServer(world, name.split('+').map((one) => world.traces[one])));
	return world.servers.get(name).address;
}

export async function stopServers(world) {
	for (const server of (world.servers ?? new Map()).values()) await server.stop();
}

// The trace NAME in Chromium by a server.  OPTIONS: hash, fragile (no hints put away), and chromiumPage()'s.
export async function view(t, world, name, options = {}) {
	const base = await address(world, name);
	const { page, context, watched } = await chromiumPage(t, world, [base], options);
	if (!options.hints) await context.addInitScript(() => { try { localStorage.setItem('vizattach.hints', '3'); } catch { /* a file */ } });
	const shown = new View(page, watched);
	t.after(() => shown.keep(world, `${t.group} ${t.name}`));
	return shown.open(base + (options.hash ?? ''));
}
