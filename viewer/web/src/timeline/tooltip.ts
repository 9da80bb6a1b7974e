// SPDX-License-Identifier: MIT
// tooltip.ts - what is under the pointer, in words.
import { Entry, Leave, type Gap, type Slice } from '../engine';
import { brief, count, duration, moment, place, title } from '../units';
import { make } from './dom';
import type { Scene, Target } from './scene';
import { firstGap } from './draw';
import { sampleAt } from './special';

const ENTRIES: Record<number, string> = { [Entry.Resume]: 'generator or coroutine, resumed', [Entry.Throw]: 'resumed by an exception',
	[Entry.Open]: 'began before it was seen' };
const LEAVES: Record<number, string> = { [Leave.Yield]: 'yielded', [Leave.Unwind]: 'left by an exception',
	[Leave.Unseen]: 'its end was not seen; this is the latest', [Leave.Gap]: 'ended where nothing was recorded',
	[Leave.Open]: 'had not ended when the recording did' };

// What is special about how a call began and ended.
export function notes(how: number): string[] {
	return [ENTRIES[how & 3], LEAVES[how >> 2]].filter((x): x is string => x !== undefined);
}

function gapAt(scene: Scene, track: number, time: number): Gap | null {
	const list = scene.gaps(track), near = (scene.view.to - scene.view.from) / scene.width * 2, i = firstGap(list, time - near);
	return i < list.length && list[i].start <= time + near ? list[i] : null;
}

export class Tooltip {
	private box = make('div', 'tl-tip');
	private shown: unknown = null;

	constructor(parent: HTMLElement) {
		this.box.hidden = true;
		this.box.setAttribute('role', 'tooltip');
		parent.append(this.box);
	}

	hide(): void {
		this.box.hidden = true;
		this.shown = null;
	}

	// At X, Y of the window.
	show(scene: Scene, target: Target, x: number, y: number): void {
		const lines = this.lines(scene, target);
		if (!lines) return this.hide();
		const key = lines.join('\n');
		if (key !== this.shown) {
			this.shown = key;
			this.box.replaceChildren(...lines.map((text, i) => make('div', i === 0 ? 'tl-tip-title' : i === 1
				? 'tl-tip-main' : 'tl-tip-note', text)).filter((e) => e.textContent));
		}
		this.box.hidden = false;
		const w = this.box.offsetWidth, h = this.box.offsetHeight;
		this.box.style.left = Math.max(4, x + 16 + w > innerWidth ? x - w - 12 : x + 16) + 'px';
		this.box.style.top = Math.max(4, y + 20 + h > innerHeight ? y - h - 12 : y + 20) + 'px';
	}

	private lines(scene: Scene, target: Target): string[] | null {
		const track = target.placed.item.track, gap = gapAt(scene, track, target.time), info = scene.tracks[track];
		if (gap && (!target.record || target.time >= gap.start)) {
			return [gap.records ? count(gap.records) + ' records were dropped here' : 'This part cannot be read',
				duration(gap.end - gap.start),
				gap.records ? 'the recorder had no room for them' : 'it is missing in the file or damaged'];
		}
		if (info.kind === 'counter') {
			const s = scene.samples(track), i = s ? sampleAt(s, target.time) : -1;
			if (!s || i < 0) return null;
			const spread = s.min[i] !== s.max[i] ? `from ${brief(s.min[i])} to ${brief(s.max[i])} around here` : '';
			return [info.name, count(s.last[i]), spread,
				'at ' + moment(s.t[i], (scene.view.to - scene.view.from) / scene.width)];
		}
		return target.record ? this.record(scene, target) : null;
	}

	private record(scene: Scene, { record }: Target): string[] | null {
		if (!record) return null;
		const { held: { records: r }, i, track } = record, fn = r.fn[i], near = (scene.view.to - scene.view.from) / scene.width;
		const name = title(scene.functions, fn), where = place(scene.functions, fn), t = scene.tracks[track];
		const at = `at ${moment(r.start[i], near)} · ${t.name}` + (t.depth > 1 ? ` · depth ${r.depth[i] + 1}` : '');
		if (r.count[i] > 1) return [count(r.count[i]) + ' short calls', 'within ' + duration(r.end[i] - r.start[i]),
			'the longest: ' + name, where, at];
		if (t.kind === 'instants') return [name, at];
		return [name, duration(r.end[i] - r.start[i]), where, at, ...notes(r.how[i])];
	}
}

// A selected call in one sentence, for the live region.
export function sentence(scene: Scene, s: Slice): string {
	const t = scene.tracks[s.track];
	return [title(scene.functions, s.fn), place(scene.functions, s.fn), duration(s.end - s.start),
		`at ${moment(s.start, 1000)} in ${t?.name ?? '?'}`,
		'depth ' + (s.depth + 1), ...notes(s.how)].filter(Boolean).join(', ');
}
