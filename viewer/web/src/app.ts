// SPDX-License-Identifier: MIT
// app.ts - the shell of the page: header, find box, the split between timeline and panels.
//
// The elements #timeline and #panels are in index.html; opening the trace is main.ts's.
import { isDark } from './colours';
import type { Engine, Progress } from './engine';
import { Link } from './link';
import type { ColourBy, Members, State, Theme } from './state';
import { attributes, editing, icon, iconButton, make } from './timeline/dom';
import { search, told } from './timeline/find';
import { startTimeline, type Timeline } from './timeline/timeline';
import { brief, calls, count, duration, base } from './units';

const PANELS_PART = 0.4;      // of the window, in the beginning
const PANELS_LEAST = 90, TIMELINE_LEAST = 200;
const CLOSED = 33;            // the bar of tabs alone
const STEP = 24;
const SLOW_MS = 500;          // what takes longer has a bar

const COLOURS: [ColourBy, string][] = [['module', 'module'], ['file', 'file'], ['duration', 'duration']];
const NEXT_THEME: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

// 2023-11-14 22:13:20, here; toLocaleString() needs 10 ms before its first.
function instant(d: Date): string {
	const two = (n: number): string => String(n).padStart(2, '0');
	return [d.getFullYear(), two(d.getMonth() + 1), two(d.getDate())].join('-') + ' ' +
		[d.getHours(), d.getMinutes(), d.getSeconds()].map(two).join(':');
}

// ---- header ----

class Header {
	readonly element = make('header', 'head');
	readonly banner = make('div', 'banner');
	readonly work = make('div', 'work');
	private facts = make('div', 'head-facts');
	private name = make('h1', '', 'vizview');
	private input = attributes(make('input'),
		{ type: 'search', placeholder: 'Find functions and files', 'aria-label': 'Find functions and files',
		spellcheck: 'false', autocomplete: 'off' });
	private found = attributes(make('output'), { 'aria-live': 'polite' });
	private slash = make('kbd', '', '/');
	private steps: HTMLButtonElement[];
	private colour = attributes(make('select'), { 'aria-label': 'Colour by' });
	private theme: HTMLButtonElement;

	constructor(private state: State, private timeline: Timeline) {
		const find = attributes(make('div', 'find'), { role: 'search' }), tools = make('div', 'head-tools'),
			colour = make('label', 'colour');
		this.steps = [iconButton('up', 'Previous call that is found (Shift Enter)', () => this.next(-1)),
			iconButton('down', 'Next call that is found (Enter)', () => this.next(1)),
			iconButton('close', 'End finding (Escape)', () => this.clear())];
		find.append(icon('find'), this.input, this.found, this.slash, ...this.steps);
		this.input.addEventListener('input', () => {
			const { opened } = state.now, find = this.input.value;
			if (opened) state.set({ find, hits: search(opened.functions, find) });
		});
		this.input.addEventListener('keydown', (e) => this.key(e));
		for (const [value, text] of COLOURS) this.colour.append(attributes(make('option', '', text), { value }));
		this.colour.addEventListener('change', () => {
			state.set({ colourBy: this.colour.value as ColourBy });
			this.colour.blur();
		});
		colour.append(make('span', '', 'Colour by'), this.colour);
		this.theme = iconButton('theme', '', () => state.set({ theme: NEXT_THEME[state.now.theme] }));
		tools.append(find, colour, iconButton('back', 'Back to where you were (Backspace)', () => timeline.jump.back()),
			iconButton('whole', 'Show the whole trace (0)', () => timeline.jump.whole()), this.theme,
			iconButton('help', 'Help', () => document.dispatchEvent(new KeyboardEvent('keydown', { key: '?' })))); // the panels have it
		this.element.append(this.name, this.facts, tools);
		this.banner.hidden = this.work.hidden = true;
		addEventListener('keydown', (e) => {
			if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || editing(e.target) || e.defaultPrevented) return;
			e.preventDefault();
			this.input.focus();
			this.input.select();
		});
		state.on((changed) => this.update(changed));
		this.update(new Set(['opened', 'find', 'colourBy', 'theme']));
	}

	private next(direction: 1 | -1): void {
		const { hits } = this.state.now;
		if (hits.length) void this.timeline.jump.next(direction, hits);
	}

	private clear(): void {
		this.state.set({ find: '', hits: [] });
		this.input.blur();
	}

	private key(e: KeyboardEvent): void {
		if (e.key === 'Enter') this.next(e.shiftKey ? -1 : 1);
		else if (e.key === 'Escape') this.clear();
		else return;
		e.preventDefault();
	}

	private update(changed: Set<keyof Members>): void {
		const now = this.state.now;
		if (changed.has('opened')) this.opened();
		if (changed.has('find') && this.input.value !== now.find) this.input.value = now.find;
		if (changed.has('find') || changed.has('hits') || changed.has('opened')) {
			const some = !!now.find && !!now.opened;
			this.found.textContent = some ? told(now.opened!.functions, now.hits) : '';
			this.found.title = some ? told(now.opened!.functions, now.hits, true) : '';
			this.found.className = some && !now.hits.length ? 'none' : '';
			this.slash.hidden = some;
			for (const b of this.steps) b.hidden = !some;
		}
		this.colour.value = now.colourBy;
		if (changed.has('theme')) {
			const dark = isDark(now.theme);
			document.documentElement.classList.toggle('dark', dark);
			const label = { auto: 'Colours as the system has them', light: 'Light colours',
				dark: 'Dark colours' }[now.theme] + '; press to change';
			attributes(this.theme, { 'aria-label': label, title: label });
		}
	}

	private opened(): void {
		const { opened } = this.state.now;
		if (!opened) return;
		const { trace: t, functions } = opened, fact = (value: string, what: string, cls = '', tip = ''): HTMLElement => {
			const e = make('span', cls);
			e.append(make('b', '', value), ' ' + what);
			e.title = tip;
			return e;
		};
		this.name.textContent = t.title;
		this.name.title = t.title + '\n' + t.file;
		const when = t.startUnixMs > 0 ? instant(new Date(t.startUnixMs)) : '',
			threads = t.tracks.filter((x) => x.kind === 'thread').length;
		this.facts.replaceChildren(fact(String(t.pid), 'pid'),
			fact(duration(t.duration), '', '', 'length of the recording' + (when ? ', begun ' + when : '')),
			fact(brief(t.calls), t.calls === 1 ? 'call' : 'calls', '', calls(t.calls)),
			fact(count(threads), threads === 1 ? 'thread' : 'threads', 'less'),
			fact(brief(functions.name.length), 'functions', 'less', count(functions.name.length)),
			...t.lost ? [fact(brief(t.lost), 'lost', 'bad', count(t.lost) + ' records were dropped')] : [],
			fact('', base(t.file), 'less', t.file));
		this.warnings();
	}

	private warnings(): void {
		const list = this.state.now.opened?.trace.warnings ?? [], first = list[0], key = JSON.stringify(list);
		this.banner.hidden = !first || this.banner.dataset.seen === key;
		if (!first) return;
		const text = make('div');
		text.append(make('b', '', first.what), ...first.why ? [make('span', '', 'why: ' + first.why)] : [],
			...first.try ? [make('span', '', 'try: '), make('code', '', first.try)] : [],
			...list.length > 1 ? [make('span', '', `and ${list.length - 1} more`)] : []);
		text.title = list.map((w) => [w.what, w.why && 'why: ' + w.why, w.try && 'try: ' + w.try].filter(Boolean).join('\n'))
			.join('\n\n');
		this.banner.replaceChildren(text,
			iconButton('close', 'Hide this warning', () => { this.banner.dataset.seen = key; this.banner.hidden = true; }));
	}

	// Waits for an answer of which nobody knows how long it takes.
	busy(ms: number): void {
		if (!this.work.hidden && !this.work.classList.contains('busy')) return;
		this.work.hidden = ms < SLOW_MS;
		this.work.classList.toggle('busy', !this.work.hidden);
		if (!this.work.hidden && !this.work.firstChild) this.work.append(make('i'));
		attributes(this.work, { role: 'progressbar', 'aria-label': 'waiting for an answer' }).removeAttribute('aria-valuenow');
	}

	progress(p: Progress, since: number): void {
		this.work.classList.remove('busy');
		this.work.replaceChildren();
		this.work.hidden = p.complete || p.done >= 1 || performance.now() - since < SLOW_MS;
		if (this.work.hidden) return;
		attributes(this.work, { role: 'progressbar', 'aria-label': p.what, 'aria-valuenow': String(Math.round(p.done * 100)),
			'aria-valuemin': '0', 'aria-valuemax': '100' });
		const bar = make('i');
		bar.style.width = Math.max(0, Math.min(100, p.done * 100)) + '%';
		this.work.replaceChildren(bar, make('span', '', `${p.what}, ${Math.floor(p.done * 100)} %`));
	}
}

// ---- the split ----

class Split {
	readonly element = attributes(make('div', 'split'),
		{ role: 'separator', tabindex: '0', 'aria-orientation': 'horizontal', 'aria-label': 'Height of the panels',
		'aria-valuemin': '0', 'aria-valuemax': '100' });
	private height = Math.round(innerHeight * PANELS_PART);

	constructor(private state: State, private panels: HTMLElement) {
		const e = this.element;
		e.addEventListener('pointerdown', (down) => {
			down.preventDefault();
			e.setPointerCapture(down.pointerId);
			e.classList.add('on');
		});
		e.addEventListener('pointermove',
			(move) => { if (e.hasPointerCapture(move.pointerId)) this.to(innerHeight - move.clientY - 3); });
		e.addEventListener('pointerup', () => e.classList.remove('on'));
		e.addEventListener('dblclick', () => state.set({ panelOpen: !state.now.panelOpen }));
		e.addEventListener('keydown', (key) => {
			const by = { ArrowUp: STEP, ArrowDown: -STEP, PageUp: 5 * STEP, PageDown: -5 * STEP }[key.key];
			if (by) this.to(this.height + by);
			else if (key.key === 'Enter') state.set({ panelOpen: !state.now.panelOpen });
			else return;
			key.preventDefault();
		});
		addEventListener('resize', () => this.apply());
		state.on((changed) => { if (changed.has('panelOpen')) this.apply(); });
		this.apply();
	}

	private to(height: number): void {
		this.height = height;
		if (!this.state.now.panelOpen) this.state.set({ panelOpen: true });
		this.apply();
	}

	private apply(): void {
		const most = Math.max(PANELS_LEAST, innerHeight - TIMELINE_LEAST);
		this.height = Math.max(PANELS_LEAST, Math.min(most, this.height));
		this.panels.style.height = (this.state.now.panelOpen ? this.height : CLOSED) + 'px';
		this.element.setAttribute('aria-valuenow', String(Math.round(this.height / innerHeight * 100)));
	}
}

// Instead of tracks, when there is nothing on them.
function emptyNote(timeline: HTMLElement): HTMLElement {
	const box = make('div', 'tl-empty'), inner = make('div'), list = make('dl');
	for (const [name, text] of [['why', 'the process called no Python function while it was watched, or only waited'],
		['try', 'record for longer, or while the process has work to do: vizattach --pid PID --duration 30s']])
		list.append(make('dt', '', name), make('dd', '', text));
	inner.append(make('h2', '', 'No calls were recorded'), list);
	box.append(inner);
	timeline.append(box);
	return box;
}

export interface App {
	timeline: Timeline;
	progress(p: Progress): void;   // of the opening, and of what goes on afterwards
}

// Builds the shell around #timeline and #panels in ROOT; follows STATE from then on.  PICTURED: when the first picture is whole.
export function startApp(engine: Engine, state: State, root: HTMLElement, pictured: () => void): App {
	const find = (id: string): HTMLElement => {
		const there = root.querySelector<HTMLElement>('#' + id);
		if (there) return there;
		const made = attributes(make('div'), { id });
		root.append(made);
		return made;
	};
	const area = find('timeline'), panels = find('panels'), since = performance.now(), link = new Link(engine, state);
	document.documentElement.classList.toggle('dark', isDark(state.now.theme));
	const timeline = startTimeline(engine, state, area, pictured), header = new Header(state, timeline), split = new Split(state, panels);
	root.prepend(header.element, header.work, header.banner);
	panels.before(split.element);
	let restored = false, note: HTMLElement | null = null;
	state.on((changed) => {
		if (!changed.has('opened') || !state.now.opened) return;
		const { trace } = state.now.opened, nothing = !trace.calls && trace.tracks.every((t) => !t.depth && t.kind !== 'counter');
		note?.remove();
		note = nothing ? emptyNote(area) : null;
		if (!restored) void link.restore();
		else if (state.now.opened.complete) void link.again();
		restored = true;
	});
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change',
		() => document.documentElement.classList.toggle('dark', isDark(state.now.theme)));
	setInterval(() => header.busy(timeline.busy()), SLOW_MS / 2);
	return { timeline, progress: (p) => header.progress(p, since) };
}
