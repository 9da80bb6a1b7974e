// SPDX-License-Identifier: MIT
// source.ts - where the worker gets bytes of the index and of the trace from.

import type { Directory } from './directory';

// newer: changed after the recording.
export interface FileText { text: string; newer: boolean }

// Numbers as in the directory: of tiles; of blocks vzi_block.number.
export interface Source {
	// Bytes that are given in between may be looked at until leave().
	enter(): void;
	leave(): void;
	// In that order; the caller's, where .remote.  Rejects with Unreachable.
	tiles(directory: Directory, numbers: number[]): Promise<Uint8Array[]>;
	// null: unreadable.
	blocks(numbers: number[]): Promise<(Uint8Array | null)[]>;
	args(track: number, entry: number): Promise<Record<string, unknown> | null>;
	source(file: number): Promise<FileText | null>;
	compare(): Promise<Record<string, unknown> | null>;
	readonly remote: boolean; // asking takes time: answers should be kept
	held(): number;           // bytes of it in memory
}

// The server is gone, or the file is not whole.
export class Unreachable extends Error {}
