// SPDX-License-Identifier: MIT
// link.ts - the address says what the page shows, so that it can be sent to somebody.
//
//   #v=FROM,TO&s=TRACK,DEPTH,START,FN | r=FROM,TO[,TRACK...]&p=PANEL&q=TEXT&...
//
// Whatever comes from the address is checked; what makes no sense is left out.
import type { Engine } from './engine';
import { search } from './timeline/find';
import type { ColourBy, Members, PanelName, State, Theme } from './state';

const EVERY_MS = 350;        // browsers refuse an address that changes too often
const TEXT = 200;            // characters
const LONGEST = 8192;

const PANELS: PanelName[] = ['details', 'table', 'flame', 'tree', 'butterfly', 'histogram', 'compare'];
const COLOURS: ColourBy[] = ['module', 'file', 'duration'];
const THEMES: Theme[] = ['auto', 'light', 'dark'];
const LISTS = { pin: 'pinned', o: 'order', h: 'hidden', c: 'collapsed', cp: 'collapsedProcesses' } as const;

const whole = (text: string): number => /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : NaN;

// Whole numbers below LIMIT, each once.
function list(text: string, limit: number): number[] {
	return [...new Set(text.split(',').map(whole))].filter((n) => n < limit);
}

export function encode(now: Members): string {
	const out: string[] = [], add = (key: string, value: string | number[]): void => {
		if (value.length) out.push(key + '=' + (typeof value === 'string' ? encodeURIComponent(value).replace(/%2C/g, ',')
			: value.join()));
	};
	if (!now.opened) return '';
	const { view, selection: s } = now;
	if (view.from > 0 || view.to < now.opened.trace.duration) add('v', [Math.floor(view.from), Math.ceil(view.to)]);
	if (s.kind === 'slice') add('s', [s.slice.track, s.slice.depth, s.slice.start, s.slice.fn]);
	if (s.kind === 'range') add('r', [s.from, s.to, ...s.tracks ?? []]);
	if (now.panel !== 'table') add('p', now.panel);
	if (!now.panelOpen) add('po', '0');
	add('q', now.find);
	if (now.focus >= 0) add('fo', [now.focus]);
	for (const [key, member] of Object.entries(LISTS)) add(key, now[member]);
	add('fl', now.trackFilter);
	if (now.colourBy !== 'module') add('by', now.colourBy);
	if (now.theme !== 'auto') add('th', now.theme);
	return out.join('&');
}

const among = <T extends string>(value: string | null, allowed: T[], otherwise: T): T => allowed.find((x) => x === value) ?? otherwise;

function range(text: string | null, duration: number): { from: number; to: number; rest: string[] } | null {
	const [a, b, ...rest] = (text ?? '').split(','), from = whole(a), to = whole(b ?? '');
	return from < to && from < duration ? { from, to: Math.min(to, duration), rest } : null;
}

// What HASH says, as far as it can be of this trace; all else is as in the beginning.
export function decode(hash: string, now: Members): Partial<Members> {
	if (!now.opened || hash.length > LONGEST) return {};
	const { trace, functions } = now.opened, p = new URLSearchParams(hash.replace(/^#/, '').replace(/\+/g, '%2B'));
	const tracks = trace.tracks.length, out: Partial<Members> = {}, text = (key: string): string => (p.get(key) ?? '').slice(0,
		TEXT);
	const view = range(p.get('v'), trace.duration), selected = range(p.get('r'), trace.duration), fo = whole(p.get('fo') ?? '');
	out.view = view ? { from: view.from, to: view.to } : { from: 0, to: Math.max(1, trace.duration) };
	if (selected) {
		const some = list(selected.rest.join(), tracks);
		out.selection = { kind: 'range', from: selected.from, to: selected.to, tracks: some.length ? some : null };
	} else if (!p.get('s')) out.selection = { kind: 'none' };
	out.panel = among(p.get('p'), PANELS, 'table');
	out.panelOpen = p.get('po') !== '0';
	out.find = text('q');
	out.hits = search(functions, out.find);
	out.focus = fo < functions.name.length ? fo : -1;
	for (const [key, member] of Object.entries(LISTS)) out[member] = list(p.get(key) ?? '', member === 'collapsedProcesses'
		? trace.processes.length : tracks);
	out.trackFilter = text('fl');
	out.colourBy = among(p.get('by'), COLOURS, 'module');
	out.theme = among(p.get('th'), THEMES, 'auto');
	return out;
}

export class Link {
	private told = '';
	private wanted = '';          // a call that could not be found yet
	private timer = 0;

	constructor(private engine: Engine, private state: State) {
		state.on(() => { if (!this.timer) this.timer = window.setTimeout(() => this.write(), EVERY_MS); });
		addEventListener('hashchange', () => { if (location.hash.slice(1) !== this.told) void this.restore(); });
	}

	private write(): void {
		this.timer = 0;
		const text = encode(this.state.now);
		if (!this.state.now.opened || text === this.told || this.wanted) return;
		this.told = text;
		try {
			history.replaceState(null, '', '#' + text);
		} catch { /* a browser may refuse this for files, or for too many */ }
	}

	// Shows what the address says.
	async restore(): Promise<void> {
		const hash = location.hash, { state } = this;
		state.set(decode(hash, state.now));
		await this.select(hash);
	}

	// The trace is complete now.
	async again(): Promise<void> {
		if (this.wanted && this.wanted === location.hash &&
			this.state.now.selection.kind === 'none') await this.select(this.wanted);
		this.wanted = '';
	}

	private async select(hash: string): Promise<void> {
		const { state } = this, opened = state.now.opened,
			[track, depth, start, fn] = list0(new URLSearchParams(hash.slice(1)).get('s'));
		if (!opened || !(track < opened.trace.tracks.length && depth <= 65535 && start <= opened.trace.duration &&
			fn < opened.functions.name.length)) return;
		const slice = await this.engine.at(track, start, depth).catch(() => null);
		const found = slice && slice.fn === fn && slice.start === start && location.hash === hash;
		this.wanted = !found && !opened.complete ? hash : '';
		if (found) state.set({ selection: { kind: 'slice', slice } });
	}
}

function list0(text: string | null): number[] {
	const out = (text ?? '').split(',').map(whole);
	return out.length === 4 && !out.some(Number.isNaN) ? out : [NaN, NaN, NaN, NaN];
}
