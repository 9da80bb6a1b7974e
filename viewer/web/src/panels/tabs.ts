// SPDX-License-Identifier: MIT
// tabs.ts - tabs as WAI-ARIA describes them: one stop for Tab, arrows between them.
import { el } from './dom';

export interface Tab { name: string; title: string; root: HTMLElement }

export class Tabs {
	readonly bar = el('div', { class: 'p-tabs', role: 'tablist', 'aria-label': 'Panels' });
	private tabs = new Map<string, HTMLElement>();

	constructor(private list: Tab[], private choose: (name: string) => void) {
		for (const tab of list) {
			const id = 'p-tab-' + tab.name;
			const e = el('button', {
				type: 'button', role: 'tab', id, text: tab.title, 'aria-controls': 'p-panel-' + tab.name,
				onclick: () => this.choose(tab.name),
			});
			tab.root.id = 'p-panel-' + tab.name;
			tab.root.setAttribute('role', 'tabpanel');
			tab.root.setAttribute('aria-labelledby', id);
			tab.root.classList.add('p-panel');
			this.tabs.set(tab.name, e);
			this.bar.append(e);
		}
		this.bar.addEventListener('keydown', (e) => this.onKey(e));
	}

	show(name: string): void {
		for (const { name: other, root } of this.list) {
			const on = other === name, e = this.tabs.get(other)!;
			e.setAttribute('aria-selected', String(on));
			e.tabIndex = on ? 0 : -1;
			root.hidden = !on;
		}
	}

	private onKey(event: KeyboardEvent): void {
		const at = this.list.findIndex((t) => this.tabs.get(t.name) === event.target), n = this.list.length;
		const to: Record<string, number> = { ArrowRight: (at + 1) % n, ArrowLeft: (at + n - 1) % n, Home: 0, End: n - 1 };
		if (at < 0 || !(event.key in to)) return;
		event.preventDefault();
		event.stopPropagation();
		const { name } = this.list[to[event.key]];
		this.choose(name);
		this.tabs.get(name)!.focus();
	}
}
