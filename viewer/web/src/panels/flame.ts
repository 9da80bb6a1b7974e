// SPDX-License-Identifier: MIT
// flame.ts - where the time of the range went, merged over its threads.
import type { Aggregate } from '../engine';
import type { Members } from '../state';
import { title } from '../units';
import { Calls } from './calls';
import type { Context, Panel } from './context';
import { el, empty, failed, fill, Latest } from './dom';
import { FlameView } from './flame_view';

export class Flame implements Panel {
	readonly name = 'flame';
	readonly title = 'Flame graph';
	readonly ranged = true;
	readonly root = el('section');
	private sums: Aggregate | null = null;
	private calls: Calls | null = null;
	private readonly view: FlameView;
	private readonly latest = new Latest(this.root, (e) => {
		this.sums = null;
		fill(this.root, failed('The flame graph of this range cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {
		this.view = new FlameView(ctx, {
			label: 'Flame graph of the range', root: 'All calls', up: false,
			hint: 'A click zooms, Escape zooms back, a double click goes to the next call', open: (fn) => void ctx.next(fn),
			pick: (node) => { if (node) ctx.focus(this.calls!.tree.fn[node]); },
		});
	}

	update(_changed: Set<keyof Members>): void {
		const range = this.ctx.range();
		void this.latest.run(() => this.ctx.aggregate(range, true), (sums) => {
			if (sums === this.sums && this.calls) return this.view.draw();
			this.sums = sums;
			if (!(sums.tree!.total[0] > 0)) {
				this.calls = null;
				return fill(this.root, empty('Nothing was running in this range.', 'Zoom out, or select a range with calls.'));
			}
			this.calls = new Calls(sums.tree!);
			fill(this.root, this.view.root);
			this.view.show(this.calls);
		});
	}

	// As collapsed stacks: what flame graph tools read.  Self time in ns.
	copy(json: boolean): string | null {
		const calls = this.calls, f = this.ctx.opened?.functions;
		if (!calls || !f) return null;
		const { tree } = calls, name = (node: number): string => title(f, tree.fn[node]);
		const paths = Array.from({ length: tree.n - 1 }, (_, i) => i + 1).filter((i) => tree.self[i] > 0)
			.map((i) => ({ stack: calls.path(i).slice(1).map(name), self_ns: tree.self[i], calls: tree.calls[i] }));
		return json ? JSON.stringify(paths) + '\n'
			: paths.map((p) => p.stack.map((s) => s.replace(/;/g, ',')).join(';') + ' ' + p.self_ns + '\n').join('');
	}

	visible(): unknown { return this.calls ? this.view.visible() : { boxes: [] }; }
}
