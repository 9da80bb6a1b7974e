// SPDX-License-Identifier: MIT
// colours.ts - the colour of a function: by its module, its file, or how long a call takes.
//
// A colour depends on names alone, so it is the same in every trace.  Hues are steps in OKLCH,
// where equal distances look equal; neighbours also differ in lightness, so that they are
// told apart without seeing red and green.  Python is vivid, C is pale.  On each of them INK can be
// read (contrast of at least 4.5).
import { type Functions, type Ns } from './engine';
import type { ColourBy, Theme } from './state';
import { module, title } from './units';

const HUES = [255, 62, 160, 330, 212, 95, 293, 27, 185, 128, 235, 8];
const STEPS = [0, -0.045, 0.04];
// What a thread does is known by its name: hue and chroma.
const STATES: [RegExp, number, number][] = [[/^(running|on the cpu)/i, 150, 0.09], [/\b(gil|lock|wait)/i, 70, 0.1],
	[/\b(off|sleep|idle|blocked)/i, 260, 0.015]];
const RAMP = 48;            // one for each power of two of ns
const RAMP_FIRST = 8, RAMP_LAST = 34;

export function hash(text: string): number {
	let h = 0x811c9dc5; // FNV-1a
	for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
	h = Math.imul(h ^ h >>> 15, 0x2c1b3c6d);
	return (h ^ h >>> 13) >>> 0;
}

function gamma(x: number): number {
	return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * Math.pow(x, 1 / 2.4) - 0.055));
}

// OKLab by Björn Ottosson; linear red, green, blue.
function linear(l: number, c: number, hue: number): [number, number, number] {
	const a = c * Math.cos(hue * Math.PI / 180), b = c * Math.sin(hue * Math.PI / 180);
	const p = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
	const q = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
	const s = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
	return [4.0767416621 * p - 3.3077115913 * q + 0.2309699292 * s, -1.2684380046 * p + 2.6097574011 * q - 0.3413193965 * s,
		-0.0041960863 * p - 0.7034186147 * q + 1.707614701 * s];
}

// Packed as in an ImageData read as Uint32Array: 0xffBBGGRR.  Less chroma where sRGB has not as much.
export function oklch(l: number, c: number, hue: number): number {
	let rgb = linear(l, c, hue);
	for (let i = 0; i < 20 && rgb.some((x) => x < -0.0005 || x > 1.0005); i++) rgb = linear(l, c *= 0.93, hue);
	const [r, g, b] = rgb.map((x) => gamma(Math.max(0, Math.min(1, x))));
	return (0xff000000 | b << 16 | g << 8 | r) >>> 0;
}

export function css(packed: number): string {
	return `rgb(${packed & 255},${packed >> 8 & 255},${packed >> 16 & 255})`;
}

// #rrggbb as a stylesheet has it.
export function packed(hex: string): number {
	const n = parseInt(hex.trim().slice(1), 16);
	return (0xff000000 | (n & 255) << 16 | (n & 0xff00) | n >> 16) >>> 0;
}

function mix(a: number, b: number, part: number): number {
	let out = 0xff000000;
	for (const shift of [0, 8, 16])
		out |= Math.round((a >> shift & 255) * (1 - part) + (b >> shift & 255) * part) << shift;
	return out >>> 0;
}

// WCAG: 1 to 21.
export function contrast(a: number, b: number): number {
	const light = (x: number): number => [0, 8, 16].reduce((sum, shift, i) => {
		const v = (x >> shift & 255) / 255;
		return sum + [0.2126, 0.7152, 0.0722][i] * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	}, 0) + 0.05;
	const [p, q] = [light(a), light(b)];
	return Math.max(p, q) / Math.min(p, q);
}

export function isDark(theme: Theme): boolean {
	return theme === 'dark' || theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches;
}

const log2 = (ns: Ns): number => ns < 4294967296 ? 31 - Math.clz32(ns) : 63 - Math.clz32(ns / 4294967296);

export class Palette {
	readonly fills: Uint32Array;   // by function
	readonly faded: Uint32Array;   // of what is not found
	readonly ink: string;          // of text on a fill
	readonly inkFaded: string;
	readonly ramp = new Uint32Array(RAMP + 1); // by power of two of the duration
	readonly rampFaded = new Uint32Array(RAMP + 1);

	constructor(private functions: Functions, readonly by: ColourBy, readonly dark: boolean) {
		const n = functions.name.length, ground = dark ? 0xff211a16 : 0xffffffff;
		this.ink = dark ? '#f4f6f9' : '#12171d';
		this.inkFaded = dark ? '#8b96a3' : '#5f6975';
		this.fills = new Uint32Array(n);
		this.faded = new Uint32Array(n);
		for (let i = 0; i < n; i++) {
			this.fills[i] = this.colour(i);
			this.faded[i] = mix(this.fills[i], ground, 0.82);
		}
		for (let i = 0; i <= RAMP; i++) {
			const part = Math.max(0, Math.min(1, (i - RAMP_FIRST) / (RAMP_LAST - RAMP_FIRST)));
			this.ramp[i] = oklch(dark ? 0.31 + 0.23 * part : 0.93 - 0.25 * part, 0.035 + 0.11 * part, 250 + 150 * part);
			this.rampFaded[i] = mix(this.ramp[i], ground, 0.82);
		}
	}

	// Of a call that takes NS; by duration, without NS: of what is not known.
	pixel(fn: number, ns = 0): number {
		return this.by === 'duration' ? this.ramp[Math.min(RAMP, log2(ns + 1))] : this.fills[fn] ?? this.ramp[0];
	}

	css(fn: number, ns = 0): string { return css(this.pixel(fn, ns)); }

	private colour(fn: number): number {
		const f = this.functions, file = f.file[fn] >= 0 ? f.files[f.file[fn]] ?? '' : '', name = f.name[fn] ?? '';
		const native = f.kind[fn] === 2;
		const family = !file ? title(f, fn) : native ? file : this.by === 'file' ? file : module(file);
		const state = file ? undefined : STATES.find(([words]) => words.test(name));
		if (state) return oklch(this.dark ? 0.475 : 0.8, state[2], state[1]);
		const h = hash(family), g = hash(file + '\0' + name), hue = HUES[h % HUES.length];
		// Blue and purple look darker than yellow and green of the same lightness.
		const l = (this.dark ? 0.465 : 0.79) + STEPS[(h >>> 8) % STEPS.length] + ((g & 255) / 255 - 0.5) * 0.06;
		return oklch(l, native ? 0.028 : this.dark ? 0.092 : 0.088, hue + ((g >>> 8 & 255) / 255 - 0.5) * 24);
	}
}

let last: Palette | null = null;

// The one for these; made anew only if something changed.
export function palette(functions: Functions, by: ColourBy, dark: boolean): Palette {
	if (!last || last.by !== by || last.dark !== dark || lastOf !== functions) {
		last = new Palette(functions, by, dark);
		lastOf = functions;
	}
	return last;
}
let lastOf: Functions | null = null;
