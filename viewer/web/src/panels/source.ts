// SPDX-License-Identifier: MIT
// source.ts - the text of a function around its line, where the trace or the server has it.
import type { SourceText } from '../engine';
import type { Context } from './context';
import { el, fill, Latest, reason } from './dom';

const BEFORE = 3, AFTER = 60;
const C_FUNCTION = 2;

// One token of Python; what matters is not to be wrong, so strings and comments come first.
const TOKEN = new RegExp([
	'(#.*)',
	'((?:\\b[rbfuRBFU]{1,2})?(?:"""[^]*?(?:"""|$)|\'\'\'[^]*?(?:\'\'\'|$)|"(?:\\\\.|[^"\\\\\\n])*"?|\'(?:\\\\.|[^\'\\\\\\n])*\'?))',
	'\\b(and|as|assert|async|await|break|class|continue|def|del|elif|else|except|False|finally|for|from|global|if|import|' +
		'in|is|lambda|None|nonlocal|not|or|pass|raise|return|True|try|while|with|yield)\\b',
	'\\b(\\d[\\w.]*)',
].join('|'), 'g');
const CLASSES = ['p-comment', 'p-string', 'p-keyword', 'p-number'];

export class Source {
	readonly root = el('div', 'p-source');
	private fn = -1;
	private opened: unknown = null;
	private lines: string[] = [];
	private readonly latest = new Latest(this.root, (e) => this.none('The source cannot be shown: ' + reason(e)));

	constructor(private ctx: Context) {}

	show(fn: number, name: string): void {
		const opened = this.ctx.opened!, f = opened.functions;
		if (fn === this.fn && opened === this.opened) return;
		[this.fn, this.opened] = [fn, opened];
		if (f.kind[fn] === C_FUNCTION) return this.none('A C function: it has no Python source.');
		if (f.file[fn] < 0) return this.none('The trace does not say where it is written.');
		this.none('');
		void this.latest.run(() => this.ctx.engine.source(fn), (text) => {
			if (text?.lines.length) this.text(text, f.line[fn], name);
			else this.none('It is not in the trace: record with ', el('code', { text: 'vizattach --with-source' }),
				', or use ', el('code', { text: 'vizview FILE' }),
				' on the machine that has ', el('code', { text: f.files[f.file[fn]] }), '.');
		});
	}

	visible(): unknown {
		return { fn: this.fn, lines: this.lines, marked: this.root.querySelector('.on')?.getAttribute('data-line') ?? null };
	}

	private none(...why: (string | Node)[]): void {
		this.lines = [];
		fill(this.root, el('h3', { text: 'Source' }), el('p', 'p-dim', ...why));
	}

	private text(source: SourceText, line: number, name: string): void {
		const first = Math.max(source.first, line - BEFORE), from = first - source.first;
		const indented = source.lines[line - source.first] ?? '';
		const whole = /<\w+>$/.test(name); // a module, a lambda: not a def
		const end = whole ? Infinity : endOf(source.lines, line - source.first, indented.length - indented.trimStart().length);
		this.lines = source.lines.slice(from, Math.max(from, Math.min(end, line - source.first + AFTER)));
		const rows = coloured(this.lines).map((nodes, i) => {
			const n = first + i, on = n === line;
			return el('div', { class: on ? 'on' : '', 'data-line': n, 'aria-current': on ? 'true' : null },
				el('span', { class: 'p-line', text: String(n) }), el('code', null, ...nodes));
		});
		fill(this.root, el('h3', { text: 'Source' }, el('small', { text: source.file + ':' + line })),
			source.newer ? el('p', { class: 'p-warning', text: 'Changed since the recording: lines may differ.' }) : '',
			rows.length ? el('div', { class: 'p-code', tabindex: 0, role: 'region', 'aria-label': 'Source of ' + name }, rows)
				: el('p', { class: 'p-dim', text: `The file has ${source.lines.length} lines and no line ${line}: it has changed since.` }));
	}
}

// Index of the line after the function that begins at FROM with INDENT.
export function endOf(lines: string[], from: number, indent: number): number {
	let head = true, open = 0, last = from + 1; // in its signature, with so many brackets open
	for (let i = from; i >= 0 && i < lines.length; i++) {
		const text = lines[i].trim(), deep = lines[i].length - lines[i].trimStart().length;
		if (!head && text && deep <= indent) {
			if (text[0] === '#') continue;
			return last;
		}
		if (head) {
			for (const c of text) open += '([{'.includes(c) ? 1 : ')]}'.includes(c) ? -1 : 0;
			head = open > 0 || !/^(async\s|def\b|class\b)/.test(text) && !text.endsWith(':');
		}
		if (text) last = i + 1;
	}
	return last;
}

// LINES with their tokens in spans; a string may go over many lines.
function coloured(lines: string[]): Node[][] {
	const rows: Node[][] = [[]];
	for (const [token, cls] of tokens(lines.join('\n'))) token.split('\n').forEach((piece, i) => {
		if (i) rows.push([]);
		if (piece) rows[rows.length - 1].push(cls ? el('span', { class: cls, text: piece }) : document.createTextNode(piece));
	});
	return rows;
}

// Python in pieces, each with its class; '': what needs no colour.
export function tokens(text: string): [string, string][] {
	const all: [string, string][] = [];
	let at = 0;
	for (const match of text.matchAll(TOKEN)) {
		all.push([text.slice(at, match.index), ''], [match[0], CLASSES[match.slice(1).findIndex((group) => group !== undefined)]]);
		at = match.index! + match[0].length;
	}
	all.push([text.slice(at), '']);
	return all.filter(([piece]) => piece);
}
