// SPDX-License-Identifier: MIT
// labels.ts - names of processes and tracks at the left, with what can be done with them.
//
// Elements exist only for what is in sight.  A track is sorted by dragging its label.
import type { TrackKind } from '../engine';
import type { State } from '../state';
import { calls, count } from '../units';
import { attributes, icon, iconButton, make } from './dom';
import { itemAt, type Item, type Layout, type Placed } from './layout';
import { openMenu, type Entry } from './menu';
import type { Tracks } from './tracks';

const KINDS: Record<TrackKind, string> = { thread: 'thread', greenlet: 'greenlet', async: 'tasks', instants: 'instants', state: 'state',
	counter: 'counter' };
const DRAG = 5;       // pixels until a press is a drag
const TALL = 40;      // height that has room for a second line

export interface Place { layout: Layout; scroll: number; height: number } // as the timeline has it

export class Labels {
	private made = new Map<string, { element: HTMLElement; key: string }>();
	private drag: { track: number; y: number; on: boolean; at: number; after: boolean } | null = null;
	private mark = make('div', 'tl-drop');

	constructor(private state: State, private tracks: Tracks, private rest: HTMLElement, private pinned: HTMLElement,
		private where: () => Place,
		private top: () => number) {
		this.mark.hidden = true;
		rest.parentElement?.append(this.mark);
		for (const box of [rest, pinned]) {
			box.addEventListener('pointerdown', (e) => this.down(e));
			box.addEventListener('pointermove', (e) => this.move(e));
			box.addEventListener('pointerup', (e) => this.up(e));
			box.addEventListener('pointercancel', () => this.stop());
			box.addEventListener('contextmenu', (e) => this.context(e));
			box.addEventListener('keydown', (e) => this.key(e));
		}
	}

	// Makes the elements of what is in sight and takes the others away.
	update(pinned: Placed[], rest: Placed[], room: number): void {
		const keep = new Set<string>();
		for (const { item } of [...pinned, ...rest, ...this.focused(pinned, rest)]) {
			const id = (item.kind === 'process' ? 'p' + item.process : 't' + item.track);
			const key = [item.height, item.collapsed, item.pinned, this.state.now.opened?.complete].join();
			let m = this.made.get(id);
			keep.add(id);
			if (!m || m.key !== key) {
				const focus = m?.element.contains(document.activeElement)
					? (document.activeElement as HTMLElement).dataset.act : undefined;
				const element = item.kind === 'process' ? this.process(item) : this.track(item);
				m?.element.remove();
				(item.pinned ? this.pinned : this.rest).append(element);
				this.made.set(id, m = { element, key });
				if (focus) (element.querySelector(`[data-act=${focus}]`) as HTMLElement | null)?.focus({ preventScroll: true });
			}
			m.element.style.top = (item.pinned ? item.y : room + item.y) + 'px';
		}
		for (const [id, m] of this.made) if (!keep.has(id)) { m.element.remove(); this.made.delete(id); }
	}

	// Who has the focus stays when it is scrolled away, or the keyboard would be lost.
	private focused(pinned: Placed[], rest: Placed[]): { item: Item }[] {
		const label = document.activeElement?.closest<HTMLElement>('.tl-label');
		if (!label || !this.rest.contains(label)) return [];
		const track = Number(label.dataset.track ?? -1), process = Number(label.dataset.process ?? -1);
		const item = this.where().layout.items.find((i) => i.kind === 'track' ? i.track === track : i.process === process &&
			track < 0);
		return item && ![...pinned, ...rest].some((p) => p.item === item) ? [{ item }] : [];
	}

	private process(item: Item): HTMLElement {
		const { processes, tracks } = this.state.now.opened!.trace, p = processes[item.process];
		const element = make('div', 'tl-label process'), n = tracks.filter((t) => t.process === item.process).length;
		element.style.height = item.height + 'px';
		element.dataset.process = String(item.process);
		const fold = attributes(make('button', 'tl-fold'),
			{ type: 'button', 'data-act': 'fold', 'aria-expanded': String(!item.collapsed),
			title: p.name + ' (' + p.pid + ')', 'aria-label': `process ${p.name}, ${p.pid}` });
		fold.append(icon(item.collapsed ? 'right' : 'down'), make('span', 'tl-name', p.name),
			make('span', 'tl-sub', String(p.pid)));
		fold.addEventListener('click', () => this.tracks.collapseProcess(item.process));
		element.append(fold);
		if (item.collapsed) element.append(make('span', 'tl-count', n + (n === 1 ? ' track' : ' tracks')));
		return element;
	}

	private track(item: Item): HTMLElement {
		const t = this.state.now.opened!.trace.tracks[item.track],
			element = make('div', 'tl-label' + (item.pinned ? ' pinned' : ''));
		element.style.height = item.height + 'px';
		attributes(element, { 'data-track': String(item.track), role: 'group', 'aria-label': `${KINDS[t.kind]} ${t.name}` });
		const inner = make('div', 'tl-inner'), words = make('div', 'tl-words');
		const fold = iconButton(item.collapsed ? 'right' : 'down', (item.collapsed ? 'Expand ' : 'Collapse ') + t.name,
			() => this.tracks.collapse(item.track), 'tl-fold');
		attributes(fold, { 'data-act': 'fold', 'aria-expanded': String(!item.collapsed) });
		words.append(make('div', 'tl-name', t.name));
		words.title = t.name;
		if (item.height >= TALL) words.append(make('div', 'tl-sub', this.facts(item.track)));
		if (item.height >= TALL + 16 && t.lost) words.append(make('div', 'tl-sub warn', count(t.lost) + ' records dropped'));
		const pin = iconButton('pin', (item.pinned ? 'Unpin ' : 'Pin ') + t.name, () => this.tracks.pin(item.track),
			'tl-pin' + (item.pinned ? ' on' : ''));
		attributes(pin, { 'data-act': 'pin', 'aria-pressed': String(item.pinned) });
		const more = iconButton('more', 'Options of ' + t.name, () => {
			const box = more.getBoundingClientRect();
			this.menu(item.track, box.left, box.bottom + 2);
		}, 'tl-more');
		attributes(more, { 'data-act': 'more', 'aria-haspopup': 'menu' });
		inner.append(fold, words, pin, more);
		element.append(inner);
		return element;
	}

	private facts(track: number): string {
		const t = this.state.now.opened!.trace.tracks[track];
		if (t.kind === 'counter') return 'counter';
		const what = t.kind === 'thread' ? t.main ? 'main thread' : 'tid ' + t.tid : KINDS[t.kind];
		return (t.kind === 'instants' ? count(t.calls) : calls(t.calls)) + ' · ' + what;
	}

	private menu(track: number, x: number, y: number): void {
		const { collapsed, pinned, hidden } = this.state.now, t = this.tracks, name = t.name(track);
		const entries: Entry[] = [
			{ text: collapsed.includes(track) ? 'Expand' : 'Collapse to one row', run: () => t.collapse(track) },
			{ text: pinned.includes(track) ? 'Unpin' : 'Pin to the top', run: () => t.pin(track) },
			{ text: 'Move up', keys: 'Alt ↑', run: () => t.step(track, -1), disabled: !t.canStep(track, -1) },
			{ text: 'Move down', keys: 'Alt ↓', run: () => t.step(track, 1), disabled: !t.canStep(track, 1) },
			{ text: 'Sum up this track only', run: () => t.only(track), line: true },
			{ text: 'Hide', run: () => t.hide(track), line: true },
			{ text: 'Hide all others', run: () => t.hideOthers(track) },
			{ text: `Show hidden tracks (${hidden.length})`, run: () => t.showAll(), disabled: !hidden.length },
			{ text: 'Collapse all', run: () => t.collapseAll(true), line: true },
			{ text: 'Expand all', run: () => t.collapseAll(false) },
		];
		openMenu(entries, x, y, 'Options of ' + name);
	}

	private trackOf(e: Event): number {
		const label = (e.target as Element).closest<HTMLElement>('[data-track]');
		return label ? Number(label.dataset.track) : -1;
	}

	private context(e: MouseEvent): void {
		const track = this.trackOf(e);
		if (track < 0) return;
		e.preventDefault();
		this.menu(track, e.clientX, e.clientY);
	}

	private key(e: KeyboardEvent): void {
		const track = this.trackOf(e);
		if (track < 0 || !e.altKey || e.key !== 'ArrowUp' && e.key !== 'ArrowDown') return;
		e.preventDefault();
		e.stopPropagation();
		this.tracks.step(track, e.key === 'ArrowUp' ? -1 : 1);
	}

	private down(e: PointerEvent): void {
		const track = this.trackOf(e);
		if (track < 0 || e.button !== 0 || (e.target as Element).closest('button')) return;
		this.drag = { track, y: e.clientY, on: false, at: track, after: false };
		(e.currentTarget as HTMLElement).setPointerCapture(e.pointerId);
	}

	private move(e: PointerEvent): void {
		const d = this.drag;
		if (!d || !d.on && Math.abs(e.clientY - d.y) < DRAG) return;
		d.on = true;
		const { layout, scroll, height } = this.where(), y = e.clientY - this.top();
		const over = itemAt(layout, scroll, height, Math.max(0, Math.min(height - 1, y)));
		if (!over || over.item.kind === 'process' || !this.tracks.canPlace(d.track, over.item.track)) return;
		d.at = over.item.track;
		d.after = y > over.top + over.item.height / 2;
		this.mark.hidden = false;
		this.mark.style.top = over.top + (d.after ? over.item.height : 0) - 1 + 'px';
	}

	private up(_e: PointerEvent): void {
		const d = this.drag;
		this.stop();
		if (d?.on) this.tracks.place(d.track, d.at, d.after);
	}

	private stop(): void {
		this.drag = null;
		this.mark.hidden = true;
	}
}
