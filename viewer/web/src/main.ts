// SPDX-License-Identifier: MIT
// main.ts - starts the page: opens the trace, then the timeline and the panels.

import type { Engine, Opened, Warning } from './engine';
import { WorkerEngine } from './engine_worker';
import { EMBED_VERSION, embedVersion, isEmbedded } from './open_embed';
import { type App, startApp } from './app';
import { panelsVisible, startPanels } from './panels/panels';
import { State } from './state';
import { idle as timelineIdle, visible } from './timeline/timeline';
import { explain, missing, NotSupported, TooNew } from './trouble';

const PATIENCE_MS = 400;           // what can wait for the first picture waits so long
const QUIET_MS = 250;              // longer than anybody waits before he asks the engine

// What tests, and whoever opens the console, may look at.
interface Vizview {
	ready: Promise<void>;          // the first picture can be drawn
	idle: () => Promise<void>;     // all that was asked for is there and drawn
	engine: Engine;
	state: State;
	visible: () => unknown;        // what the timeline drew last
	panels: () => unknown;         // what the open panel shows
	stats: () => Promise<unknown>;
}

const boot = document.getElementById('boot')!;

function element(name: string, text: string): HTMLElement {
	const made = document.createElement(name);
	made.textContent = text;
	return made;
}

function showTrouble(warning: Warning, strip: boolean): void {
	const box = element('div', '');
	box.className = 'message';
	box.append(element('h1', warning.what));
	const list = element('dl', '');
	for (const [name, text] of [['why', warning.why], ['try', warning.try]] as const)
		if (text) list.append(element('dt', name), element('dd', text));
	box.append(list);
	boot.replaceChildren(box);
	boot.className = strip ? 'shown strip' : 'shown';
	boot.setAttribute('role', 'alert');
}

async function start(engine: WorkerEngine, state: State): Promise<void> {
	const lacking = missing();
	if (lacking) throw new NotSupported(lacking);
	if (isEmbedded() && embedVersion() > EMBED_VERSION)
		throw new TooNew(`It has layout ${embedVersion()}; this page knows ${EMBED_VERSION}.`);
	let app: App | null = null, opened: Opened | null = null;
	let pictured!: () => void;
	const picture = new Promise<void>((resolve) => { pictured = resolve; });
	setTimeout(pictured, PATIENCE_MS);
	const opening = engine.open((progress) => {
		app?.progress(progress);
		// A new object, so that whoever shows a part of it looks again.
		if (opened && progress.complete) state.set({ opened: opened = { ...opened, complete: true } });
	}, picture);
	app = startApp(engine, state, document.getElementById('app')!, pictured);
	const panels = picture.then(() => startPanels(engine, state, document.getElementById('panels')!));
	opened = await opening;
	document.title = `${opened.trace.file || opened.trace.title} - vizview`;
	state.set({ opened, view: { from: 0, to: Math.max(1, opened.trace.duration) } });
	await panels;
}

async function idle(): Promise<void> {
	await ready;
	for (let quiet = performance.now(); performance.now() - quiet < QUIET_MS;) {
		await timelineIdle();
		await new Promise((resolve) => requestAnimationFrame(resolve));
		if (engine.stats.pending || !state.now.opened?.complete) quiet = performance.now();
	}
}

const embedded = isEmbedded();
const engine = new WorkerEngine();
const state = new State();
engine.onTrouble = (error) => {
	if (error) showTrouble(explain(error, embedded), true);
	else boot.className = '';
};
const ready = start(engine, state).catch((error) => {
	showTrouble(explain(error, embedded), false);
	throw error;
});
ready.catch(() => undefined);
(window as unknown as { vizview: Vizview }).vizview = {
	ready, idle, engine, state, visible, panels: panelsVisible,
	stats: async () => ({ engine: engine.stats, worker: await engine.workerStats() }),
};
