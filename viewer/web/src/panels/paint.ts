// SPDX-License-Identifier: MIT
// paint.ts - colours of functions in the panels: those of the timeline.
import { isDark, palette, type Palette } from '../colours';
import type { State } from '../state';

let now: Palette | null = null;

// To be told whenever the trace, the colouring or the theme changes.
export function usePalette(state: State): void {
	const { opened, colourBy, theme } = state.now;
	now = opened && palette(opened.functions, colourBy, isDark(theme));
}

// Of a call of FN that takes NS.
export function swatch(fn: number, ns?: number): string { return now?.css(fn, ns) ?? '#999'; }

// Of text on it.
export function ink(): string { return now?.ink ?? '#000'; }
