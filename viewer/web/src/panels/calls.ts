// SPDX-License-Identifier: MIT
// calls.ts - a call tree with its children in order, largest first.
import type { CallTree } from '../engine';

// What is at one place below a node, besides its children.
export interface Rest { other: number; small: number }

export class Calls {
	private readonly first: Uint32Array;  // into kids, of each node; one more
	private readonly kids: Uint32Array;
	readonly depth: Uint32Array;
	readonly deepest: number;

	constructor(readonly tree: CallTree) {
		const { n, parent, total } = tree;
		this.first = new Uint32Array(n + 1);
		this.kids = new Uint32Array(Math.max(0, n - 1));
		this.depth = new Uint32Array(n);
		for (let i = 1; i < n; i++) {
			this.first[parent[i] + 1]++;
			this.depth[i] = this.depth[parent[i]] + 1;
		}
		for (let i = 0; i < n; i++) this.first[i + 1] += this.first[i];
		const next = this.first.slice();
		for (let i = 1; i < n; i++) this.kids[next[parent[i]]++] = i;
		for (let i = 0; i < n; i++) {
			const kids = this.children(i);
			if (kids.length > 1) kids.sort((a, b) => total[b] - total[a] || a - b);
		}
		this.deepest = this.depth.reduce((a, b) => Math.max(a, b), 0);
	}

	// Largest first.
	children(node: number): Uint32Array {
		return this.kids.subarray(this.first[node], this.first[node + 1]);
	}

	// From the root down to NODE, both included.
	path(node: number): number[] {
		const path = [node];
		while (path[0] > 0) path.unshift(this.tree.parent[path[0]]);
		return path;
	}

	// Time of NODE that is neither its own nor of its children: paths that are not
	// known, and calls that were left out as they are too small to see.
	rest(node: number): Rest {
		const { total, self, other, pruned } = this.tree;
		if (!pruned) return { other: other[node], small: 0 };
		let small = total[node] - self[node] - other[node];
		for (const kid of this.children(node)) small -= total[kid];
		return { other: other[node], small: small >= 1 ? small : 0 };
	}

	// Heaviest path from NODE as long as it has most of the time: where to look first.
	hot(node: number): number[] {
		const path = [node];
		for (let at = node; ;) {
			const [kid] = this.children(at);
			if (kid === undefined || this.tree.total[kid] < this.tree.total[at] / 3) return path;
			path.push(at = kid);
		}
	}
}
