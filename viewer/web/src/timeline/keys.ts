// SPDX-License-Identifier: MIT
// keys.ts - the keyboard of the timeline: held keys move it smoothly, others act once.
import { editing } from './dom';
import { panned, zoomed } from './input';
import type { View } from '../state';

const ZOOM = 0.0033;      // of the span, for a ms
const PAN = 1.25;         // pixels for a ms
const WARM = 160;         // ms until it moves at full speed
const TAP = 34;           // ms that one press counts, at least

const HELD = 'wasd';

export interface Acts { [key: string]: (e: KeyboardEvent) => void }

// WHOSE: the timeline acts on a key pressed at this element; arrows and the like belong to others.
export class Keys {
	private held = new Map<string, number>();   // key: since when, ms
	private last = 0;

	constructor(private acts: Acts, private whose: (target: EventTarget | null, key: string) => boolean, private wake: () => void) {
		addEventListener('keydown', (e) => this.down(e));
		addEventListener('keyup', (e) => this.held.delete(e.key.toLowerCase()));
		addEventListener('blur', () => this.held.clear());
	}

	get moving(): boolean { return this.held.size > 0; }

	private down(e: KeyboardEvent): void {
		if (e.defaultPrevented || editing(e.target)) return;
		const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
		if (e.ctrlKey || e.metaKey || !this.whose(e.target, key)) return;
		if (e.altKey && key !== 'ArrowLeft') return;
		if (HELD.includes(key) && key.length === 1 && !e.altKey) {
			if (!this.held.has(key)) this.held.set(key, performance.now() - TAP);
			this.wake();
			e.preventDefault();
			return;
		}
		const act = this.acts[(e.altKey ? 'Alt+' : e.shiftKey && key.startsWith('Arrow') ? 'Shift+' : '') + key];
		if (!act) return;
		e.preventDefault();
		act(e);
	}

	// Where the view is NOW (ms), with the keys that are held; AT: part of the width that zoom keeps.
	step(now: number, view: View, at: number, width: number): View {
		if (!this.held.size) { this.last = 0; return view; }
		const dt = this.last ? Math.min(50, now - this.last) : TAP / 2;
		this.last = now;
		for (const [key, since] of this.held) {
			const warm = Math.min(1, 0.35 + (now - since) / WARM * 0.65) * dt;
			if (key === 'w') view = zoomed(view, at, Math.exp(-ZOOM * warm));
			else if (key === 's') view = zoomed(view, at, Math.exp(ZOOM * warm));
			else view = panned(view, (key === 'd' ? PAN : -PAN) * warm, width);
		}
		return view;
	}
}
