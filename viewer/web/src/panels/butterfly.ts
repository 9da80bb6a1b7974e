// SPDX-License-Identifier: MIT
// butterfly.ts - who calls a function (above), and what it calls (below).
import type { Members } from '../state';
import { duration, place, title } from '../units';
import { Calls } from './calls';
import type { Context, Panel } from './context';
import { button, el, empty, failed, fill, Latest } from './dom';
import { FlameView } from './flame_view';
import { swatch } from './paint';
import { plural } from './text';

export class Butterfly implements Panel {
	readonly name = 'butterfly';
	readonly title = 'Callers and callees';
	readonly ranged = true;
	readonly root = el('section');
	private of = '';
	private fn = -1;
	private callers: Calls | null = null;
	private callees: Calls | null = null;
	private views: { up: FlameView; down: FlameView } | null = null;
	private readonly latest = new Latest(this.root, (e) => {
		this.of = '';
		this.callers = this.callees = null;
		fill(this.root, failed('Callers and callees cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {}

	update(_changed: Set<keyof Members>): void {
		const fn = this.ctx.focused, range = this.ctx.range();
		if (fn < 0) {
			this.latest.cancel();
			this.callers = this.callees = null;
			this.of = '';
			return fill(this.root, empty('No function is chosen.',
				'Click one under Functions, in the flame graph or the call tree: its callers and what it calls are shown here.'));
		}
		const of = JSON.stringify([fn, range]);
		if (of === this.of && this.views) {
			this.views.up.draw();
			this.views.down.draw();
			return;
		}
		void this.latest.run(() => this.ctx.engine.butterfly(fn, range), ({ callers, callees }) => {
			this.of = of;
			this.show(fn, new Calls(callers), new Calls(callees));
		});
	}

	copy(json: boolean): string | null {
		const f = this.ctx.opened?.functions;
		if (!f || !this.callers || !this.callees) return null;
		const direct = (calls: Calls) => [...calls.children(0)].map((i) =>
			({ name: title(f, calls.tree.fn[i]), calls: calls.tree.calls[i], total_ns: calls.tree.total[i] }));
		const both = { function: title(f, this.fn), callers: direct(this.callers), callees: direct(this.callees) };
		if (json) return JSON.stringify(both, null, 1) + '\n';
		const lines = (rows: typeof both.callers): string => rows.map((r) => `${r.total_ns}\t${r.calls}\t${r.name}\n`).join('');
		return `callers of ${both.function}\nTotal\tCalls\tFunction\n${lines(both.callers)}\n` +
			`called by it\nTotal\tCalls\tFunction\n${lines(both.callees)}`;
	}

	visible(): unknown {
		return { fn: this.callers ? this.fn : -1, callers: this.callers && this.views?.up.visible(),
			callees: this.callees && this.views?.down.visible() };
	}

	private show(fn: number, callers: Calls, callees: Calls): void {
		const f = this.ctx.opened!.functions, name = title(f, fn);
		if (fn !== this.fn) this.views = null;
		[this.fn, this.callers, this.callees] = [fn, callers, callees];
		const mark = el('span', 'p-swatch');
		mark.style.background = swatch(fn);
		const head = el('div', 'p-tools', el('h2', null, mark, el('span', { text: name, title: place(f, fn) })),
			el('span', { class: 'p-dim', text: `${duration(callees.tree.total[0])} in ${plural(callees.tree.calls[0], 'call')}` }),
			button('Next call', 'Go to its next call in the timeline', () => void this.ctx.next(fn)),
			button('Durations', 'How long its calls take', () => this.ctx.show('histogram')));
		if (!(callees.tree.total[0] > 0) && !callees.tree.calls[0]) {
			this.callers = this.callees = null;
			return fill(this.root, head, empty('It was not called in this range.',
				button('Its next call', 'Go to it in the timeline', () => void this.ctx.next(fn))));
		}
		const views = this.views ??= { up: this.view('Callers', true), down: this.view('Callees', false) };
		fill(this.root, head, el('div', 'p-butterfly',
			views.up.root, views.down.root));
		views.up.show(callers);
		views.down.show(callees);
	}

	private view(heading: string, up: boolean): FlameView {
		const root = title(this.ctx.opened!.functions, this.fn);
		return new FlameView(this.ctx, { label: heading + ' of ' + root, heading, root, fn: this.fn, up,
			open: (fn) => this.ctx.focus(fn), hint: 'A click zooms, a double click puts that function into the middle' });
	}
}
