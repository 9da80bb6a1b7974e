// SPDX-License-Identifier: MIT
// bytes.ts - base64 and deflate as the browser brings them, in the page and in workers.

// Newer than the declarations of the compiler.
interface Base64 { fromBase64?(text: string): Uint8Array }
declare class DecompressionStream {
	constructor(format: 'deflate-raw');
	readonly readable: ReadableStream<Uint8Array>;
	readonly writable: WritableStream<Uint8Array>;
}

export function fromBase64(text: string): Uint8Array {
	const native = (Uint8Array as unknown as Base64).fromBase64;
	if (native) return native.call(Uint8Array, text);
	const binary = atob(text);
	const bytes = new Uint8Array(binary.length);
	for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
	return bytes;
}

// Rejects if PACKED is not a deflate-raw stream.
export async function inflate(packed: Uint8Array): Promise<Uint8Array> {
	const stream = new Blob([packed]).stream() as unknown as {
		pipeThrough(through: DecompressionStream): ReadableStream<Uint8Array>;
	};
	try {
		return new Uint8Array(await new Response(stream.pipeThrough(new DecompressionStream('deflate-raw'))).arrayBuffer());
	} catch {
		throw new Error('a part cannot be unpacked'); // a Response says only "Failed to fetch"
	}
}

// Gives memory back at once, if a script made it.  A collector looks at what is outside its own heap only now and then.
function release(buffer: ArrayBufferLike): void {
	(buffer as unknown as { transfer?(bytes: number): void }).transfer?.(0);
}

export const unpack = (text: string): Promise<Uint8Array> => inflate(fromBase64(text));

export const toText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const u32 = (bytes: Uint8Array, at: number): number =>
	bytes[at] + bytes[at + 1] * 0x100 + bytes[at + 2] * 0x10000 + bytes[at + 3] * 0x1000000;

// Whole bytes kept up to a limit; what was not used for longest goes first, and its memory with it, when nobody looks
// at it any more.
export class ByteCache {
	private readonly held = new Map<number, Uint8Array>();
	private gone: Uint8Array[] = [];
	private bytes = 0;
	private users = 0;

	constructor(private readonly limit: number) {}

	// Until leave() nothing that get() gave goes.
	enter(): void { this.users++; }

	leave(): void {
		if (--this.users) return;
		for (const bytes of this.gone) release(bytes.buffer);
		this.gone = [];
	}

	private drop(bytes: Uint8Array): void {
		this.bytes -= bytes.byteLength;
		if (this.users) this.gone.push(bytes);
		else release(bytes.buffer);
	}

	get(key: number): Uint8Array | undefined {
		const found = this.held.get(key);
		if (found) {
			this.held.delete(key);
			this.held.set(key, found);
		}
		return found;
	}

	set(key: number, value: Uint8Array): void {
		const old = this.held.get(key);
		if (old) this.drop(old);
		this.held.delete(key);
		this.held.set(key, value);
		this.bytes += value.byteLength;
		for (const [other, bytes] of this.held) {
			if (this.bytes <= this.limit || other === key) break;
			this.held.delete(other);
			this.drop(bytes);
		}
	}

	clear(): void {
		for (const bytes of this.held.values()) this.drop(bytes);
		this.held.clear();
	}

	size(): number { return this.bytes; }
}
