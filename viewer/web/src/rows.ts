// SPDX-License-Identifier: MIT
// rows.ts - sizes and places in the rows of a directory, as in viewer/core/format.h.

export const HEAD_BYTES = 48;      // struct vzi_directory
export const HEAD_NTRACKS = 4, HEAD_NTILES = 8, HEAD_NBLOCKS = 12, HEAD_FLAGS = 44;

export const TRACK_BYTES = 80;     // struct vzi_track
export const TRACK_FLAGS = 4;
export const TRACK_COUNTER = 1 << 11; // enum vz_track_flags

export const TILE_BYTES = 48;      // struct vzi_tile
export const TILE_OFFSET = 16, TILE_SIZE = 24, TILE_TRACK = 32, TILE_KIND = 36;
export const SAMPLES = 7;          // VZI_SAMPLES

export const BLOCK_BYTES = 40;     // struct vzi_block
export const DENSITY_BYTES = 2048 * 4;

export interface Rows { tracks: number; tiles: number; blocks: number; density: number }

// Where each table begins; the directory was checked by class Directory.
export function rowsOf(directory: Uint8Array): Rows {
	const view = new DataView(directory.buffer, directory.byteOffset);
	const tiles = HEAD_BYTES + view.getUint32(HEAD_NTRACKS, true) * TRACK_BYTES;
	const blocks = tiles + view.getUint32(HEAD_NTILES, true) * TILE_BYTES;
	return { tracks: HEAD_BYTES, tiles, blocks, density: blocks + view.getUint32(HEAD_NBLOCKS, true) * BLOCK_BYTES };
}
