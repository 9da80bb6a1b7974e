// SPDX-License-Identifier: MIT
// units.ts - durations, counts and names of functions as text for people.
//
// Pure functions, shared by timeline/ and panels/.  Durations are ns.
import type { Functions, Ns } from './engine';

const SPACE = '\u202f'; // narrow, does not break

function digits(value: number): string {
	const v = Math.abs(value);
	return value.toFixed(v >= 1000 ? 0 : v >= 100 ? 1 : v >= 10 ? 2 : 3);
}

// Four significant digits: "1.234 ms".  What is not known is a dash.
export function duration(ns: Ns | null): string {
	if (ns === null || !Number.isFinite(ns)) return '–';
	const v = Math.abs(ns);
	if (v < 1000) return (Number.isInteger(ns) ? ns : digits(ns)) + SPACE + 'ns';
	if (v < 999.95e3) return digits(ns / 1e3) + SPACE + 'µs';
	if (v < 999.95e6) return digits(ns / 1e6) + SPACE + 'ms';
	if (v < 600e9) return digits(ns / 1e9) + SPACE + 's';
	return clock(ns);
}

// 12:34 or 1:23:45, for what lasts more than ten minutes.
function clock(ns: Ns): string {
	const s = Math.floor(Math.abs(ns) / 1e9), two = (n: number): string => String(n).padStart(2, '0');
	const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
	return (ns < 0 ? '−' : '') + (h ? h + ':' + two(m) : String(m)) + ':' + two(s % 60) + (h ? SPACE + 'h' : SPACE + 'min');
}

// All digits, for copying and titles: "1,234,567 ns".
export function exact(ns: Ns): string {
	return count(Math.round(ns)) + SPACE + 'ns';
}

// Point in the trace, as exact as NEAR (ns for a pixel or so) asks for: "1.234567 s"; in the unit of LIKE.
export function moment(ns: Ns, near: Ns, like: Ns = ns): string {
	const v = Math.abs(like);
	const [unit, name] = v >= 1e9 ? [1e9, 's'] : v >= 1e6 ? [1e6, 'ms'] : v >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
	const places = Math.max(0, Math.min(9, Math.ceil(-Math.log10(Math.max(near, 1) / unit))));
	return (ns / unit).toFixed(unit === 1 ? 0 : places) + SPACE + name;
}

export function count(n: number): string {
	return String(n).replace(/\B(?=(\d{3})+$)/g, ','); // Intl needs 16 ms before its first number
}

export function calls(n: number): string {
	return count(n) + (n === 1 ? ' call' : ' calls');
}

// 1.2M, for where there is little room.
export function brief(n: number): string {
	const v = Math.abs(n);
	const [unit, name] = v >= 999.5e6 ? [1e9, 'G'] : v >= 999.5e3 ? [1e6, 'M'] : v >= 10e3 ? [1e3, 'k'] : [1, ''];
	if (unit === 1) return Number.isInteger(n) ? count(n) : String(+n.toPrecision(3));
	const x = n / unit;
	return (Math.abs(x) < 10 ? x.toFixed(1) : x.toFixed(0)) + name;
}

export function percent(part: number, whole: number): string {
	if (!(whole > 0)) return '–';
	const p = part / whole * 100;
	return (p >= 99.95 ? '100' : p >= 10 ? p.toFixed(1) : p.toFixed(p >= 0.1 || p === 0 ? 1 : 2)) + SPACE + '%';
}

// The last part of a path.
export function base(path: string): string {
	return path.slice(path.lastIndexOf('/') + 1);
}

// json.loads for C functions of a module, else as Python names it.
export function title(functions: Functions, fn: number): string {
	const name = functions.name[fn], file = functions.file[fn];
	if (name === undefined) return '?';
	if (functions.kind[fn] === 2 && file >= 0) return functions.files[file] + '.' + name;
	return name || '?';
}

// file:line, with the whole path; '' if the trace does not say.
export function place(functions: Functions, fn: number): string {
	const file = functions.file[fn];
	if (functions.kind[fn] === 2) return 'C function';
	return file >= 0 && file < functions.files.length ? functions.files[file] + ':' + functions.line[fn] : '';
}

// The package that a file belongs to, as a person would call it.
export function module(file: string): string {
	const m = /(?:^|\/)(?:site-packages|dist-packages|python\d[\d.]*(?:\.zip)?)\/([^/]+)/.exec(file);
	if (m && m[1] !== 'site-packages' && m[1] !== 'dist-packages') return m[1].replace(/\.\w+$/, '');
	if (file.startsWith('<')) return file;
	const parts = file.split('/');
	return parts.length > 1 ? parts[parts.length - 2] : file.replace(/\.\w+$/, '');
}
