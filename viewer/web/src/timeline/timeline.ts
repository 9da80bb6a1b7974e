// SPDX-License-Identifier: MIT
// timeline.ts - the timeline: puts its parts together and decides when what is drawn.
//
// A frame is drawn only if something changed.  The view of State is where to go; what is shown may
// still glide there.  Nothing is asked of the engine for what is not in sight.
import { type Engine, type Slice, type Tile } from '../engine';
import { isDark, palette } from '../colours';
import type { Members, State, View } from '../state';
import { duration } from '../units';
import { TileCache } from './cache';
import { Data } from './data';
import { attributes, fitCanvas, icon, make } from './dom';
import { Painter } from './draw';
import { Pointers } from './input';
import { clamp, full, Jump, LEAST } from './jump';
import { Keys } from './keys';
import { Labels } from './labels';
import { inSight, makeLayout, pinnedRoom, ROW, type Layout } from './layout';
import { closeMenu } from './menu';
import { Minimap } from './minimap';
import { drawOverlay } from './overlay';
import { drawRuler } from './ruler';
import { gather, resolutionOf, rowTop, targetAt, type Scene, type Target } from './scene';
import { inks, type Inks } from './theme';
import { sentence, Tooltip } from './tooltip';
import { Tracks } from './tracks';
import { describe, type Visible } from './visible';

const MINIMAP = 46, RULER = 26;   // heights
const GLIDE_MS = 170;
const AHEAD_MS = 90;              // of rest, until what may come next is asked for
const AHEAD_TILES = 160;
const EARLY_TRACKS = 24;
const MARKS = 1000;               // parts of the trace that found calls are counted in
const MARKS_MS = 60;
const TOAST_MS = 2200;

interface Glide { from: View; start: number }

export class Timeline {
	scene: Scene | null = null;
	readonly jump: Jump;
	readonly frames: number[] = [];   // ms of JS of the last frames that were drawn
	private base = make('canvas', 'tl-base');
	private over = make('canvas', 'tl-over');
	private rulerCanvas = make('canvas', 'tl-scale');
	private minimapCanvas = make('canvas', 'tl-map');
	private body = make('div', 'tl-body');
	private scroll = make('div', 'tl-scroll');
	private content = make('div', 'tl-content');
	private pinnedBox = make('div', 'tl-pinned');
	private spanText = make('div', 'tl-span');
	private none = make('div', 'tl-none');
	private filter = make('input', 'tl-filter');
	private hiddenChip = make('button', 'tl-hidden');
	private live = make('div', 'sr-only');
	private toast = make('div', 'tl-toast');
	private baseCx = this.base.getContext('2d', { alpha: false }) as CanvasRenderingContext2D;
	private overCx = this.over.getContext('2d') as CanvasRenderingContext2D;
	private rulerCx = this.rulerCanvas.getContext('2d', { alpha: false }) as CanvasRenderingContext2D;
	private painter = new Painter(this.baseCx);
	private cache: TileCache;
	private data: Data;
	private tracks: Tracks;
	private labels: Labels;
	private minimap: Minimap;
	private keys: Keys;
	private tooltip: Tooltip;
	private layout: Layout = { pinned: [], items: [], pinnedHeight: 0, height: 0 };
	private inks: Inks | null = null;
	private hits: Uint8Array | null = null;
	private shown: View = { from: 0, to: 1 };
	private glide: Glide | null = null;
	private pointer = { x: NaN, y: NaN };
	private hovered: Target | null = null;
	private width = 0; private height = 0; private left = 0; private ratio = 1;
	private requested = false;
	private complete: boolean | null = null; // what was shown; null: nothing yet
	private ready = false;            // we were told of the trace; the address may have changed the view by then
	private dirty = true;             // the tracks; else only what is above them
	private relayout = true;
	private reveal = false;
	private rest = 0;                 // quiet frames in a row
	private idlers: (() => void)[] = [];
	private aheadTimer = 0; private marksTimer = 0; private toastTimer = 0;

	constructor(private engine: Engine, private state: State, private root: HTMLElement, private pictured: () => void) {
		this.build();
		this.cache = new TileCache(engine, () => { this.dirty = true; this.wake(); });
		this.data = new Data(engine, () => { this.dirty = true; this.wake(); });
		this.tracks = new Tracks(state);
		this.jump = new Jump(engine, state, () => this.width, (p) => this.data.watch(p), (text) => this.say(text));
		this.labels = new Labels(state, this.tracks, this.content, this.pinnedBox,
			() => ({ layout: this.layout, scroll: this.scroll.scrollTop, height: this.height }),
				() => this.body.getBoundingClientRect().top);
		this.minimap = new Minimap(this.minimapCanvas, state,
			{ move: (v) => this.move(v), jump: (v) => this.jump.to(v), full: () => full(state), least: LEAST });
		this.tooltip = new Tooltip(document.body);
		this.keys = new Keys(this.acts(), (target, key) => this.ours(target, key), () => this.wake());
		this.pointers();
		this.scroll.addEventListener('scroll', () => { this.dirty = true; this.wake(); });
		new ResizeObserver(() => { this.dirty = true; this.wake(); }).observe(this.body);
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.recolour());
		state.on((changed) => this.changed(changed));
		if (state.now.opened) this.opened();
		this.wake();
	}

	// What the last frame drew, for tests.
	visible(): Visible | null {
		if (!this.scene) return null;
		const out = describe(this.scene, this.base, this.minimap, this.state.now.selection);
		return { ...out, painted: this.painter.strip.painted, texts: this.painter.texts, bytes: this.cache.bytes };
	}

	// When all that is in sight is there and drawn.
	idle(): Promise<void> {
		return new Promise((resolve) => {
			this.idlers.push(resolve);
			this.rest = 0;
			this.wake();
		});
	}

	// How long we have been waiting for the engine, ms.
	busy(): number {
		const waiting = this.data.waiting > 0 || !this.cache.quiet;
		this.since = waiting ? this.since || performance.now() : 0;
		return waiting ? performance.now() - this.since : 0;
	}
	private since = 0;

	say(text: string): void {
		this.live.textContent = this.toast.textContent = text;
		this.toast.classList.add('on');
		clearTimeout(this.toastTimer);
		this.toastTimer = window.setTimeout(() => this.toast.classList.remove('on'), TOAST_MS);
	}

	// ---- made once ----

	private build(): void {
		const { root, filter, hiddenChip } = this;
		root.classList.add('tl');
		this.base.width = this.rulerCanvas.width = 0; // they would be black until there is something to draw
		attributes(filter, { type: 'search', placeholder: 'Filter tracks', 'aria-label': 'Filter tracks by name',
			spellcheck: 'false', autocomplete: 'off' });
		filter.addEventListener('input', () => this.state.set({ trackFilter: filter.value }));
		filter.addEventListener('keydown',
			(e) => { if (e.key === 'Escape') { filter.value = ''; this.state.set({ trackFilter: '' }); filter.blur(); } });
		attributes(hiddenChip, { type: 'button' }).addEventListener('click', () => this.tracks.showAll());
		const corner = make('div', 'tl-corner'), field = make('label', 'tl-field'), top = make('div', 'tl-top'),
			scale = make('div', 'tl-ruler');
		field.append(icon('filter'), filter);
		corner.append(field, hiddenChip);
		attributes(this.minimapCanvas,
			{ role: 'slider', tabindex: '0', 'aria-label': 'Overview of the whole trace: the part in view',
			'aria-valuemin': '0',
			'aria-valuemax': '100', 'aria-valuenow': '0' });
		attributes(this.base, { role: 'img', 'aria-label': 'Calls of each thread over time' });
		attributes(this.scroll, { role: 'region', tabindex: '0',
			'aria-label': 'Timeline. W and S zoom, A and D move, arrow keys go from call to call' });
		attributes(this.live, { role: 'status', 'aria-live': 'polite' });
		attributes(this.toast, { 'aria-hidden': 'true' });
		this.over.setAttribute('aria-hidden', 'true');
		this.rulerCanvas.setAttribute('aria-hidden', 'true');
		top.append(corner, this.minimapCanvas);
		scale.append(this.spanText, this.rulerCanvas);
		this.scroll.append(this.content);
		this.body.append(this.base, this.over, this.scroll, this.pinnedBox, this.none);
		root.append(top, scale, this.body, this.live, this.toast);
	}

	private pointers(): void {
		const host = {
			width: () => this.width, left: () => this.body.getBoundingClientRect().left + this.left,
				top: () => this.body.getBoundingClientRect().top,
			view: () => this.shown, move: (v: View) => this.move(v), scroll: (dy: number) => this.scrollBy(dy),
			hover: (x: number, y: number) => { this.pointer = { x, y }; this.wake(); },
			click: (x: number, y: number) => void this.click(x, y), open: (x: number, y: number) => this.open(x, y),
			measure: (from: number, to: number, y0: number, y1: number) => this.measure(from, to, y0, y1),
		};
		new Pointers(this.scroll, this.rulerCanvas, host);
		this.minimapCanvas.addEventListener('wheel', (e) => {
			e.preventDefault();
			const { from, to } = this.shown, f = Math.exp(Math.max(-200, Math.min(200, e.deltaY)) * 0.002),
				mid = (from + to) / 2;
			this.move({ from: mid - (to - from) / 2 * f, to: mid + (to - from) / 2 * f });
		}, { passive: false });
	}

	private acts(): Record<string, (e: KeyboardEvent) => void> {
		const j = this.jump, pan = (part: number): void => {
			const by = (this.shown.to - this.shown.from) * part;
			this.move({ from: this.shown.from + by, to: this.shown.to + by });
		};
		const relative = (which: 'parent' | 'child' | 'before' | 'after', otherwise: () => void): void => {
			if (this.state.now.selection.kind === 'slice') void j.relative(which); else otherwise();
		};
		const next = (e: KeyboardEvent): void => void j.next(e.shiftKey ? -1 : 1), previous = (): void => void j.next(-1),
			back = (): void => j.back();
		return {
			f: () => j.fit(), 0: () => j.whole(), Home: () => j.whole(), n: next, ']': next, p: previous, '[': previous,
				Backspace: back, 'Alt+ArrowLeft': back,
			ArrowUp: () => relative('parent', () => this.scrollBy(-3 * ROW)),
				ArrowDown: () => relative('child', () => this.scrollBy(3 * ROW)),
			ArrowLeft: () => relative('before', () => pan(-0.1)), ArrowRight: () => relative('after', () => pan(0.1)),
			PageUp: () => this.scrollBy(-this.height * 0.8), PageDown: () => this.scrollBy(this.height * 0.8),
				Escape: () => this.escape(),
			m: () => j.range(), 'Shift+ArrowLeft': () => j.range(0, -0.02), 'Shift+ArrowRight': () => j.range(0, 0.02),
				'Shift+ArrowUp': () => j.range(-0.02, 0),
			'Shift+ArrowDown': () => j.range(0.02, 0),
		};
	}

	// Letters are ours everywhere, other keys only where nothing else uses them.
	private ours(target: EventTarget | null, key: string): boolean {
		if (!this.state.now.opened || !(target instanceof Element)) return true;
		if (target.closest('[role=menu], [role=dialog], dialog')) return false;
		return key.length === 1 || key === 'Escape' || target === document.body || this.root.contains(target);
	}

	private escape(): void {
		if (closeMenu()) return;
		if (this.state.now.selection.kind !== 'none') this.state.set({ selection: { kind: 'none' } });
		else if (this.state.now.find) this.state.set({ find: '', hits: [] });
	}

	// ---- what changes ----

	private changed(changed: Set<keyof Members>): void {
		const now = this.state.now, has = (...keys: (keyof Members)[]): boolean => keys.some((k) => changed.has(k));
		if (has('opened')) this.opened();
		if (has('view') && now.view !== this.shown) this.goTo();
		if (has('hits', 'find', 'opened')) this.found();
		if (has('colourBy', 'theme')) this.recolour();
		if (has('pinned', 'order', 'hidden', 'collapsed', 'collapsedProcesses', 'trackFilter', 'opened')) this.relayout = true;
		if (has('selection')) this.selected();
		if (has('view', 'hits', 'find', 'opened', 'pinned', 'order', 'hidden', 'collapsed', 'collapsedProcesses',
			'trackFilter')) this.dirty = true;
		this.wake();
	}

	private opened(): void {
		const { complete } = this.state.now.opened!;
		this.ready = true;
		if (complete !== this.complete) { // an HTML file has other tiles when it is whole
			this.cache.clear();
			this.data.clear();
		}
		this.complete = complete;
		this.relayout = this.dirty = true;
		this.shown = this.state.now.view;
		this.early();
	}

	// Asks for what will most likely be in sight, before there is a layout to say it.
	private early(): void {
		const { opened, view } = this.state.now, { tracks } = opened!.trace;
		const likely = tracks.map((_, i) => i).filter((i) => tracks[i].kind !== 'counter').slice(0, EARLY_TRACKS);
		if (this.width > 0) this.cache.want(this.engine.tiles(likely, view.from, view.to, resolutionOf(view, this.width, this.ratio)), []);
	}

	private recolour(): void {
		this.inks = null;
		this.dirty = true;
		this.wake();
	}

	private goTo(): void {
		const { view } = this.state.now, fit = clamp(this.state, view);
		if (Math.abs(fit.from - view.from) + Math.abs(fit.to - view.to) > 1e-3) this.state.set({ view: fit }); // from outside
		const far = matchMedia('(prefers-reduced-motion: reduce)').matches || !this.scene;
		this.glide = far ? null : { from: this.shown, start: performance.now() };
		if (far) this.shown = this.state.now.view;
	}

	private found(): void {
		const { hits, find, opened } = this.state.now;
		this.hits = null;
		clearTimeout(this.marksTimer);
		if (!opened || !find || !hits.length) { this.minimap.marks = null; return; }
		this.hits = new Uint8Array(opened.functions.name.length);
		for (const fn of hits) this.hits[fn] = 1;
		void this.data.watch(new Promise<void>((resolve) => {
			const ask = async (): Promise<void> => {
				const marks = this.state.now.hits === hits ? await this.data.marks(hits, MARKS).catch(() => null)
					: null;
				if (marks && this.state.now.hits === hits) this.minimap.marks = marks;
			};
			this.marksTimer = window.setTimeout(() => void ask().then(resolve), MARKS_MS);
			window.setTimeout(resolve, 4000); // whatever became of it
		}));
	}

	private selected(): void {
		const s = this.state.now.selection;
		this.reveal = s.kind === 'slice';
		if (this.scene) this.live.textContent = s.kind === 'slice' ? 'Selected: ' + sentence(this.scene, s.slice) :
			s.kind === 'range' ? 'Selected: ' + duration(s.to - s.from) : '';
		this.dirty = true; // it is in the overview, too
	}

	// ---- moving ----

	private move(view: View): void {
		if (!this.state.now.opened) return;
		this.glide = null;
		this.shown = clamp(this.state, view);
		this.state.set({ view: this.shown });
		this.dirty = true;
		this.wake();
	}

	private scrollBy(dy: number): void {
		this.scroll.scrollTop += dy;
		this.dirty = true;
		this.wake();
	}

	private advance(now: number): void {
		if (this.keys.moving && this.state.now.opened) {
			const at = Number.isNaN(this.pointer.x) ? 0.5 : Math.max(0, Math.min(1, this.pointer.x / this.width));
			this.move(this.keys.step(now, this.shown, at, this.width));
		} else this.keys.step(now, this.shown, 0, 1);
		if (!this.glide) return;
		const part = Math.min(1, (performance.now() - this.glide.start) / GLIDE_MS), ease = 1 - (1 - part) ** 3,
			a = this.glide.from, b = this.state.now.view;
		this.shown = part === 1 ? b : { from: a.from + (b.from - a.from) * ease, to: a.to + (b.to - a.to) * ease };
		if (part === 1) this.glide = null;
		this.dirty = true;
	}

	// ---- clicks ----

	private async click(x: number, y: number): Promise<void> {
		const { scene } = this;
		(document.activeElement as HTMLElement | null)?.blur?.();
		const target = scene && y >= 0 ? targetAt(scene, x, y) : null;
		if (!target?.record) {
			if (this.state.now.selection.kind !== 'none') this.state.look({ selection: { kind: 'none' } });
			return;
		}
		const slice = await this.sliceOf(target).catch((e) => { this.say(String(e?.message ?? e)); return null; });
		if (slice) this.state.look({ selection: { kind: 'slice', slice } });
	}

	// The call itself; of a run the one under the pointer, if there is.
	private async sliceOf(target: Target): Promise<Slice | null> {
		const record = target.record;
		if (!record) return null;
		const { held, i, track } = record, r = held.records;
		if (held.tile.kind !== 'runs')
			return { track, depth: r.depth[i], start: r.start[i], end: r.end[i], fn: r.fn[i], how: r.how[i] };
		const time = Math.round(Math.max(r.start[i], Math.min(r.end[i], target.time)));
		return await this.data.watch(this.engine.at(track, time, r.depth[i])) ?? this.data.watch(this.engine.at(track,
			r.start[i], r.depth[i]));
	}

	private open(x: number, y: number): void {
		const record = this.scene && targetAt(this.scene, x, y)?.record;
		if (record) this.jump.around(record.held.records.start[record.i], record.held.records.end[record.i]);
	}

	private measure(from: number, to: number, y0: number, y1: number): void {
		const tracks = Number.isNaN(y0) ? this.state.shownTracks() : this.tracksBetween(y0, y1);
		this.state.set({ selection: { kind: 'range', from: Math.round(from), to: Math.max(Math.round(from) + 1, Math.round(to)),
			tracks } });
		this.wake();
	}

	private tracksBetween(y0: number, y1: number): number[] | null {
		if (!this.scene) return null;
		const list = [...this.scene.pinned, ...this.scene.rest].filter((p) => p.item.kind === 'track' && p.top < y1 &&
			p.top + p.item.height > y0);
		return list.length ? list.map((p) => p.item.track) : null;
	}

	// ---- drawing ----

	private wake(): void {
		if (this.requested) return;
		this.requested = true;
		requestAnimationFrame((now) => this.frame(now));
	}

	private frame(now: number): void {
		const begin = performance.now();
		this.requested = false;
		this.advance(now);
		this.size();
		if (this.ready && this.width > 0 && this.height > 0) {
			if (this.relayout) { this.layout = makeLayout(this.state); this.relayout = false; this.dirty = true;
				this.side(); }
			if (this.reveal) this.bringIntoSight();
			const all = this.dirty;
			if (all) this.redraw();
			this.above();
			if (all) { this.frames.push(performance.now() - begin); if (this.frames.length > 600) this.frames.shift(); }
		}
		if (this.glide || this.keys.moving) this.wake();
		this.settle();
	}

	private size(): void {
		const ratio = devicePixelRatio || 1, outer = this.root.clientWidth;
		const left = Math.round(Math.max(116, Math.min(230, outer * 0.2))), width = this.scroll.clientWidth - left,
			height = this.body.clientHeight;
		if (left !== this.left) this.root.style.setProperty('--labels', left + 'px');
		if (ratio !== this.ratio) this.inks = null;
		if (ratio !== this.ratio || width !== this.width || height !== this.height || left !== this.left) this.dirty = true;
		Object.assign(this, { ratio, left, width, height });
	}

	private side(): void {
		const { hidden, trackFilter } = this.state.now;
		this.hiddenChip.hidden = !hidden.length;
		this.hiddenChip.textContent = `${hidden.length} hidden, show`;
		if (this.filter.value !== trackFilter) this.filter.value = trackFilter;
		const nothing = !this.layout.items.length && !this.layout.pinned.length;
		this.none.hidden = !nothing;
		this.none.textContent = !nothing ? '' : trackFilter ? `No track has “${trackFilter}” in its name`
			: 'All tracks are hidden';
	}

	private bringIntoSight(): void {
		const s = this.state.now.selection;
		this.reveal = false;
		if (s.kind !== 'slice') return;
		const item = this.layout.items.find((i) => i.track === s.slice.track);
		if (!item) {
			const process = this.state.now.opened?.trace.tracks[s.slice.track]?.process ?? -1;
			if (this.state.now.collapsedProcesses.includes(process)) { this.tracks.collapseProcess(process);
				this.reveal = true; }
			else if (!this.state.now.pinned.includes(s.slice.track)) this.say('Its track is hidden');
			return;
		}
		const room = pinnedRoom(this.layout, this.height), top = rowTop({ item, top: item.y }, s.slice.depth),
			seen = this.height - room;
		const at = this.scroll.scrollTop;
		if (top < at) this.scroll.scrollTop = top - 3 * ROW;
		else if (top + ROW > at + seen) this.scroll.scrollTop = top + 4 * ROW - seen;
		if (this.scroll.scrollTop !== at) this.dirty = true;
	}

	private redraw(): void {
		const { state: { now }, ratio, width, height } = this, opened = now.opened!;
		this.dirty = false;
		this.cache.frame++;
		for (const [canvas, w, h] of [[this.base, width, height], [this.over, width, height],
			[this.rulerCanvas, width, RULER]] as const) fitCanvas(canvas, w, h, ratio);
		this.minimap.size(width, MINIMAP, ratio);
		const dark = isDark(now.theme), sight = inSight(this.layout, this.scroll.scrollTop, height),
			room = pinnedRoom(this.layout, height);
		const tracks = [...sight.pinned, ...sight.rest].filter((p) => p.item.kind === 'track').map((p) => p.item.track);
		const calls = tracks.filter((t) => opened.trace.tracks[t].kind !== 'counter'),
			resolution = resolutionOf(this.shown, width, ratio);
		this.inks ??= inks(this.baseCx, dark, ratio);
		const { tiles, missing } = gather(this.engine, this.cache, calls, this.shown, resolution, this.scene?.tiles);
		const view = this.shown;
		this.scene = { view, width, height, ratio, pinnedHeight: room, ...sight, tiles, missing, gaps: (t) => this.data.gaps(t),
			samples: (t) => this.data.samples(t, view, resolution, opened.trace.tracks[t].end), tracks: opened.trace.tracks,
				functions: opened.functions,
			palette: palette(opened.functions, now.colourBy, dark), hits: this.hits };
		this.painter.draw(this.scene, this.inks);
		this.labels.update(sight.pinned, sight.rest, room);
		this.pinnedBox.style.height = room + 'px';
		this.content.style.height = room + this.layout.height + 'px';
		this.spanText.textContent = duration(Math.round(view.to - view.from)) + ' in view';
		this.minimap.draw(this.inks, ratio, view);
		this.minimapCanvas.setAttribute('aria-valuenow',
			String(Math.round((view.from + view.to) / 2 / opened.trace.duration * 100)));
		this.ask(calls, missing, resolution);
		if (!missing.length) setTimeout(this.pictured); // when it is on the screen
	}

	// What is missing in the view that we go to; what may come next once that is there.
	private ask(tracks: number[], missing: Tile[], resolution: number): void {
		const { view } = this.state.now;
		if (this.glide) missing = this.engine.tiles(tracks, view.from, view.to,
			resolutionOf(view, this.width, this.ratio)).filter((t) => !this.cache.has(t));
		this.cache.want(missing, []);
		clearTimeout(this.aheadTimer);
		if (!missing.length && !this.glide)
			this.aheadTimer = window.setTimeout(() => this.cache.want([], this.ahead(tracks, resolution)), AHEAD_MS);
	}

	private ahead(tracks: number[], resolution: number): Tile[] {
		const { from, to } = this.state.now.view, span = to - from, out: Tile[] = [];
		for (const [more, scale] of [[0.6, 1], [1.5, 4], [-0.2, 0.25]]) {
			const tiles = this.engine.tiles(tracks, from - span * more, to + span * more,
				resolution * scale).filter((t) => !this.cache.has(t));
			if (out.length + tiles.length <= AHEAD_TILES) out.push(...tiles);
		}
		return out;
	}

	// The ruler, the outlines and the tip.
	private above(): void {
		const { scene, state: { now }, pointer } = this;
		if (!scene || !this.inks) return;
		const inside = !Number.isNaN(pointer.x) && pointer.x >= 0 && pointer.x <= this.width;
		this.hovered = inside && pointer.y >= 0 && !this.glide ? targetAt(scene, pointer.x, pointer.y) : null;
		const range = now.selection.kind === 'range' ? now.selection : null;
		drawRuler(this.rulerCx, this.inks, this.ratio,
			{ view: scene.view, width: scene.width, height: RULER, range, pointer: inside ? pointer.x : null });
		drawOverlay(this.overCx, scene, this.inks, now, this.hovered, inside ? pointer.x : null);
		this.scroll.classList.toggle('over', this.hovered?.record !== null && this.hovered !== null);
		const box = this.body.getBoundingClientRect();
		if (this.hovered) this.tooltip.show(scene, this.hovered, box.left + this.left + pointer.x, box.top + pointer.y);
		else this.tooltip.hide();
	}

	private settle(): void {
		if (!this.idlers.length) return;
		const quiet = this.state.now.opened && !this.dirty && !this.relayout && !this.glide && !this.keys.moving &&
			this.cache.quiet && !this.data.waiting && !!this.scene;
		this.rest = quiet ? this.rest + 1 : 0;
		if (this.rest < 3) return this.wake();
		for (const resolve of this.idlers.splice(0)) resolve();
	}
}

let current: Timeline | null = null;

export function startTimeline(engine: Engine, state: State, root: HTMLElement, pictured: () => void): Timeline {
	return current = new Timeline(engine, state, root, pictured);
}

// Of the timeline that was started last.
export const visible = (): Visible | null => current?.visible() ?? null;
export const idle = (): Promise<void> => current?.idle() ?? Promise.resolve();
