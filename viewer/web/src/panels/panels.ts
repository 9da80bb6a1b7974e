// SPDX-License-Identifier: MIT
// panels.ts - the panels below the timeline: which one is shown, of what, and when it asks anew.
//
// Only the panel in sight asks the engine.  While the timeline moves nothing is asked; 120 ms
// after it rests, the panel follows.  What is shown stays until what replaces it is there.
import type { Engine, Range } from '../engine';
import type { Members, PanelName, State } from '../state';
import { Butterfly } from './butterfly';
import { Compare } from './compare';
import { Context, type Panel } from './context';
import { Details } from './details';
import { button, el, empty, fill, underWay } from './dom';
import { Flame } from './flame';
import { Help } from './help';
import { hints } from './hints';
import { Histogram } from './histogram';
import { usePalette } from './paint';
import { Table } from './table';
import { Tabs } from './tabs';
import { plural, rangeText, tracksText } from './text';
import { Tree } from './tree';

const REST_MS = 120;
// Of these a panel can change at once; the others move with the timeline.
const QUICK = new Set<keyof Members>(['panel', 'panelOpen', 'focus', 'opened', 'hits', 'theme', 'colourBy']);
const MATTERS = new Set<keyof Members>([...QUICK, 'view', 'selection', 'hidden', 'trackFilter']);

class Panels {
	readonly ctx: Context;
	private readonly panels: Panel[];
	private readonly tabs: Tabs;
	private readonly help: Help;
	private readonly bar: HTMLElement;
	private readonly heading = el('div', { class: 'p-heading', role: 'status' });
	private readonly hold = button('Hold', 'Keep the panels to this range while the timeline moves', () => this.toggleHold());
	private readonly copyButton = button('Copy', 'Copy what the panel shows as text (c); as JSON (shift c)', () => this.copy(false));
	private readonly warn = button('', 'What is wrong with this trace', () => this.help.open('warnings'), 'p-warn');
	private readonly fold = button('▾', '', () => this.state.set({ panelOpen: !this.state.now.panelOpen }));
	private readonly body = el('div', 'p-body');
	private changed = new Set<keyof Members>();
	private timer = 0;
	private auto: PanelName | null = null; // left for the details of a click

	constructor(engine: Engine, readonly state: State, private root: HTMLElement) {
		const ctx = this.ctx = new Context(engine, state);
		this.panels = [new Details(ctx), new Table(ctx), new Flame(ctx), new Tree(ctx), new Butterfly(ctx), new Histogram(ctx), new Compare(ctx)];
		this.tabs = new Tabs(this.panels, (name) => {
			this.auto = null;
			ctx.show(name as PanelName);
		});
		this.help = new Help(() => ctx.opened);
		this.bar = el('div', 'p-bar-top', this.tabs.bar, el('div', 'p-of', this.heading, this.hold, this.copyButton), this.warn,
			button('?', 'Keys, and what this trace is (?)', () => this.help.open('keys')), this.fold);
		fill(this.body, ...this.panels.map((p) => p.root));
		root.classList.add('p-panels');
		fill(root, this.bar, hints(), this.body);
		document.addEventListener('keydown', (e) => this.onKey(e));
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.told(new Set(['theme'])));
		new MutationObserver(() => this.told(new Set(['theme']))).observe(document.documentElement, { attributeFilter: ['class', 'data-theme'] });
		state.on((changed) => this.told(changed));
		this.told(new Set(MATTERS));
	}

	get panel(): Panel { return this.panels.find((p) => p.name === this.state.now.panel) ?? this.panels[1]; }

	visible(): unknown {
		const { panelOpen } = this.state.now, { panel } = this;
		return { panel: panel.name, open: panelOpen, heading: this.heading.textContent, busy: underWay.n > 0,
			waiting: this.timer !== 0, range: this.ctx.opened && this.ctx.range(), held: !!this.ctx.held, dialog: this.help.shown,
			shown: panelOpen && this.ctx.opened?.complete ? panel.visible() : null };
	}

	private told(changed: Set<keyof Members>): void {
		const of = [...changed].filter((c) => MATTERS.has(c) || c === 'find');
		if (!of.length) return;
		if (changed.has('selection') && !changed.has('panel')) this.follow();
		this.ctx.hits = new Set(this.state.now.hits);
		if (changed.has('opened') || changed.has('theme') || changed.has('colourBy')) usePalette(this.state);
		if (changed.has('opened')) this.warnings();
		if (changed.has('panel') || changed.has('panelOpen') || changed.has('opened')) this.arrange();
		for (const c of of) this.changed.add(c === 'find' ? 'hits' : c);
		clearTimeout(this.timer);
		const quick = changed.has('opened') || of.every((c) =>
			QUICK.has(c) || c === 'find' || c === 'selection' && this.panel.name === 'details');
		this.timer = window.setTimeout(() => this.update(), quick ? 0 : REST_MS);
	}

	// A click in the timeline asks for details; a range there for what is in it.
	private follow(): void {
		const { selection, panel } = this.state.now;
		// An address that is opened says itself what is in focus.
		if (selection.kind === 'slice' && acting()) this.state.set({ focus: selection.slice.fn });
		if (this.ctx.leading) return;
		if (selection.kind === 'slice' && (panel === 'table' || panel === 'compare')) {
			this.auto = panel;
			this.state.set({ panel: 'details' });
		} else if (selection.kind === 'range' && panel === 'details') {
			this.state.set({ panel: this.auto ?? 'table' });
			this.auto = null;
		}
	}

	private arrange(): void {
		const { panelOpen } = this.state.now, name = this.panel.name;
		this.tabs.show(name);
		this.root.classList.toggle('p-closed', !panelOpen);
		this.body.hidden = !panelOpen;
		this.fold.textContent = panelOpen ? '▾' : '▴';
		const label = panelOpen ? 'Close the panels' : 'Open the panels';
		this.fold.title = label;
		this.fold.setAttribute('aria-label', label);
		this.fold.setAttribute('aria-expanded', String(panelOpen));
	}

	private update(): void {
		this.timer = 0;
		const { opened, panelOpen } = this.state.now, { panel, changed } = this;
		this.changed = new Set();
		this.heading.hidden = this.hold.hidden = !opened || !panel.ranged || !panelOpen;
		this.copyButton.hidden = !opened?.complete || !panelOpen || panel.name === 'details';
		if (!panelOpen) return;
		for (const wait of this.root.querySelectorAll('.p-wait')) wait.remove();
		if (!opened) return this.wait('The trace is being opened.');
		if (!opened.complete && panel.name !== 'compare')
			return this.wait('The trace is still being unpacked.', 'The timeline can be used already; the numbers follow by themselves.');
		if (panel.ranged) this.describe(this.ctx.range());
		panel.update(changed);
	}

	// In front of a panel that cannot know anything yet.
	private wait(...text: [string, string?]): void {
		this.heading.hidden = this.hold.hidden = true;
		this.body.append(el('div', 'p-wait', empty(text[0], text[1])));
	}

	private describe(range: Range): void {
		const { opened, selection } = this.state.now, held = this.ctx.held !== null;
		const whole = range.from <= 0 && range.to >= opened!.trace.duration;
		const what = held ? 'Held range' : selection.kind === 'range' ? 'Selected range' : whole ? 'Whole trace' : 'Visible range';
		fill(this.heading, el('b', { text: what }), ` ${rangeText(range)} `, el('span', { text: tracksText(opened!, range.tracks) }));
		this.heading.title = this.heading.textContent!;
		this.hold.setAttribute('aria-pressed', String(held));
	}

	private toggleHold(): void {
		this.ctx.held = this.ctx.held ? null : this.ctx.range();
		this.told(new Set(['view']));
	}

	private warnings(): void {
		const n = this.ctx.opened?.trace.warnings.length ?? 0;
		this.warn.hidden = !n;
		this.warn.textContent = '⚠ ' + plural(n, 'warning');
	}

	private onKey(event: KeyboardEvent): void {
		const { key, target } = event;
		if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		if (target instanceof HTMLElement && target.closest('input:not([type=checkbox]), textarea, select, dialog')) return;
		if (key === '?') this.help.open('keys');
		else if (key === 'c' || key === 'C') this.copy(key === 'C');
		else return;
		event.preventDefault();
	}

	private copy(json: boolean): void {
		const text = this.ctx.opened?.complete ? this.panel.copy(json) : null;
		if (text === null) this.ctx.say('Nothing to copy: ' + (this.panel.name === 'details' ? 'select a call first' : 'the panel is empty'));
		else void this.ctx.copy(text, `${this.panel.title.toLowerCase()} as ${json ? 'JSON' : 'text'}`);
	}
}

// Has the user just pressed something?
function acting(): boolean {
	return (navigator as { userActivation?: { isActive: boolean } }).userActivation?.isActive ?? true;
}

let panels: Panels | null = null;

// Fills ROOT; once in the life of a page.
export function startPanels(engine: Engine, state: State, root: HTMLElement): void {
	panels = new Panels(engine, state, root);
}

// What is shown, as data: for tests.
export function panelsVisible(): unknown { return panels?.visible() ?? null; }
