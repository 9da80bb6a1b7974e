// SPDX-License-Identifier: MIT
// assemble.ts - puts together what two workers built of the tracks of an HTML file.

import type { Directory } from './directory';
import { type Core, OutOfMemory, type Pointer } from './core';
import type { Built, BuiltTrack } from './protocol';
import { BLOCK_BYTES, DENSITY_BYTES, HEAD_BYTES, HEAD_FLAGS, rowsOf, SAMPLES, TILE_BYTES, TILE_KIND, TILE_OFFSET,
	TRACK_BYTES } from './rows';

export interface Assembled {
	directory: Uint8Array;
	tiles: Uint8Array[];          // one after the other they are what offsets count in
}

function check(rc: number): void {
	if (rc < 0) throw new OutOfMemory(`the index cannot be put together (${-rc})`);
}

// COUNTED: bytes before this part.
function addTrack(core: Core, d: Pointer, track: BuiltTrack, counted: number): void {
	const tiles = track.tiles.slice(), view = new DataView(tiles.buffer);
	for (let at = 0; at < tiles.byteLength; at += TILE_BYTES)
		view.setBigUint64(at + TILE_OFFSET, view.getBigUint64(at + TILE_OFFSET, true) + BigInt(counted), true);
	core.withBytes(tiles, (p, n) => {
		for (let at = 0; at < n; at += TILE_BYTES) check(core.x.vzx_directory_tile(d, p + at));
	});
	core.withBytes(track.row, (row) => core.withBytes(track.blocks, (blocks) => core.withBytes(track.density, (density) =>
		check(core.x.vzx_directory_track(d, track.track, row, blocks, track.blocks.byteLength / BLOCK_BYTES, density)))));
}

// SAMPLES are not built here: those of the overview stay.
function addCounters(core: Core, d: Pointer, overview: Directory, built: Set<number>, counted: number): void {
	const bytes = overview.bytes, rows = rowsOf(bytes);
	for (let at = rows.tiles; at < rows.blocks; at += TILE_BYTES) {
		if (bytes[at + TILE_KIND] !== SAMPLES) continue;
		const tile = bytes.slice(at, at + TILE_BYTES), view = new DataView(tile.buffer);
		view.setBigUint64(TILE_OFFSET, view.getBigUint64(TILE_OFFSET, true) + BigInt(counted), true);
		core.withBytes(tile, (p) => check(core.x.vzx_directory_tile(d, p)));
	}
	const density = new Uint8Array(DENSITY_BYTES);
	for (let track = 0; track < overview.ntracks; track++) {
		if (built.has(track)) continue;
		const row = bytes.slice(rows.tracks + track * TRACK_BYTES, rows.tracks + (track + 1) * TRACK_BYTES);
		core.withBytes(row, (p) => core.withBytes(density, (none) => check(core.x.vzx_directory_track(d, track, p, 0, 0, none))));
	}
}

function finish(core: Core, d: Pointer, overview: Directory): Uint8Array {
	const head = overview.bytes.slice(0, HEAD_BYTES), ret = core.alloc(4);
	new DataView(head.buffer).setUint32(HEAD_FLAGS, 0, true);
	const bytes = core.withBytes(head, (p) => core.x.vzx_directory_finish(d, p, ret));
	const blob = core.u32(ret);
	core.x.free(ret);
	if (!bytes) throw new OutOfMemory('the index cannot be put together');
	const directory = core.bytes(blob, bytes);
	core.x.free(blob);
	return directory;
}

// FILE: the overview as an index file.
export function assemble(core: Core, overview: Directory, file: Uint8Array, parts: Built[]): Assembled {
	const tiles: Uint8Array[] = [], built = new Set<number>();
	const d = core.x.vzx_directory_new(overview.ntracks);
	if (!d) throw new OutOfMemory('no memory is left');
	try {
		let counted = 0;
		for (const part of parts) {
			for (const track of part.tracks) {
				addTrack(core, d, track, counted);
				built.add(track.track);
			}
			tiles.push(...part.bytes);
			counted = tiles.reduce((sum, piece) => sum + piece.byteLength, 0);
		}
		addCounters(core, d, overview, built, counted);
		tiles.push(file);
		return { directory: finish(core, d, overview), tiles };
	} finally {
		core.x.vzx_directory_free(d);
	}
}
