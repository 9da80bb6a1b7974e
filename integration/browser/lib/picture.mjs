// SPDX-License-Identifier: MIT
// picture.mjs - pixels of screenshots, and comparison with golden pictures.
//
// Pictures are compared by the mean colour of cells of 8 x 8 pixels: fonts and their smoothing
// differ a little between versions, what is drawn where does not.
import fs from 'node:fs';
import path from 'node:path';
import { PNG } from 'pngjs';

const CELL = 8;
const CELL_LIMIT = 48;      // of 255: a cell whose mean colour is farther off is different
const SHARE_LIMIT = 0.01;   // of cells that may be different
const MEAN_LIMIT = 4;       // of 255, over the whole picture

export class Picture {
	constructor(bytes) {
		this.png = PNG.sync.read(bytes);
		this.width = this.png.width;
		this.height = this.png.height;
	}

	// [r, g, b] at page pixels.
	at(x, y) {
		const i = (Math.floor(y) * this.width + Math.floor(x)) * 4;
		return [...this.png.data.subarray(i, i + 3)];
	}

	// Number of different colours in a rectangle.
	colours(x, y, width, height) {
		const seen = new Set();
		for (let row = Math.floor(y); row < y + height && row < this.height; row++)
			for (let column = Math.floor(x); column < x + width && column < this.width; column++)
				seen.add(this.png.data.readUInt32LE((row * this.width + column) * 4));
		return seen.size;
	}

	// Means of all cells, three numbers each.
	cells() {
		const columns = Math.ceil(this.width / CELL), rows = Math.ceil(this.height / CELL);
		const sum = new Float64Array(columns * rows * 3), count = new Float64Array(columns * rows);
		for (let y = 0; y < this.height; y++)
			for (let x = 0; x < this.width; x++) {
				const cell = Math.floor(y / CELL) * columns + Math.floor(x / CELL);
				const i = (y * this.width + x) * 4;
				count[cell]++;
				for (let c = 0; c < 3; c++) sum[cell * 3 + c] += this.png.data[i + c];
			}
		return sum.map((value, i) => value / count[Math.floor(i / 3)]);
	}
}

export function distance(a, b) {
	return Math.max(Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]), Math.abs(a[2] - b[2]));
}

// {mean, share}: mean difference of cells, share of cells that differ; Infinity for another size.
export function difference(a, b) {
	if (a.width !== b.width || a.height !== b.height) return { mean: Infinity, share: 1 };
	const one = a.cells(), other = b.cells();
	let sum = 0, far = 0;
	for (let i = 0; i < one.length; i += 3) {
		const cell = distance(one.subarray(i, i + 3), other.subarray(i, i + 3));
		sum += cell;
		far += cell > CELL_LIMIT ? 1 : 0;
	}
	return { mean: sum / (one.length / 3), share: far / (one.length / 3) };
}

// The screenshot BYTES is kept as build/browser/NAME.png and compared with golden/NAME.png.
// VZ_GOLDEN=write (integration/browser/golden.sh) makes it the golden one.
export function golden(t, world, name, bytes) {
	const file = path.join(world.here, 'golden', `${name}.png`);
	fs.writeFileSync(path.join(world.shots, `${name}.png`), bytes);
	if (process.env.VZ_GOLDEN === 'write') {
		fs.writeFileSync(file, bytes);
		return;
	}
	if (!t.check(fs.existsSync(file), `no golden picture ${name}.png`)) return;
	const { mean, share } = difference(new Picture(bytes), new Picture(fs.readFileSync(file)));
	t.check(mean <= MEAN_LIMIT && share <= SHARE_LIMIT, `${name}: differs from golden/${name}.png: ` +
		`mean ${mean.toFixed(2)} (limit ${MEAN_LIMIT}), ${(share * 100).toFixed(1)} % of cells (limit ` +
		`${SHARE_LIMIT * 100} %); see build/browser/${name}.png`);
}
