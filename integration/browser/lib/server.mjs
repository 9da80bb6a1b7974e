// SPDX-License-Identifier: MIT
// server.mjs - `vizview FILE` as a child: its address, what it says, its memory, its end.
import fs from 'node:fs';
import { spawn } from 'node:child_process';

const STARTING_MS = 20000;
const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); });

export class Server {
	constructor(child) {
		this.child = child;
		this.out = '';
		this.err = '';
		this.address = null;
	}

	get pid() { return this.child.pid; }

	// Private memory of the process and of what it started, bytes.
	memory() {
		const text = fs.readFileSync(`/proc/${this.pid}/smaps_rollup`, 'utf8');
		return [...text.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((sum, match) => sum + Number(match[1]) * 1024, 0);
	}

	// Ends it and returns its exit status, or the name of the signal.
	async stop(signal = 'SIGTERM') {
		if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode ?? this.child.signalCode;
		const ended = new Promise((resolve) => this.child.once('exit', (code, by) => resolve(code ?? by)));
		this.child.kill(signal);
		return ended;
	}
}

// Starts the server for FILES and waits for its address.  Rejects with what it said if it ends instead.
export async function startServer(world, files, options = []) {
	const child = spawn(world.vizview, [...files, '--no-open', ...options],
		{ stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, BROWSER: 'false', DISPLAY: '' } });
	const server = new Server(child);
	children.add(child);
	child.once('exit', () => children.delete(child));
	await new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`vizview does not say its address: ${server.out}${server.err}`)), STARTING_MS);
		const look = () => {
			const found = /http:\/\/127\.0\.0\.1:\d+\/\S*/.exec(server.out + server.err);
			if (!found) return;
			server.address = found[0];
			clearTimeout(timer);
			resolve();
		};
		child.stdout.on('data', (data) => { server.out += data; look(); });
		child.stderr.on('data', (data) => { server.err += data; look(); });
		child.once('exit', (code, signal) => {
			clearTimeout(timer);
			reject(new Error(`vizview ended with ${code ?? signal}: ${server.err}`));
		});
	});
	return server;
}

// For a test: stopped when it is over.
export async function serve(t, world, files, options = []) {
	const server = await startServer(world, files, options);
	t.after(async () => { await server.stop(); });
	return server;
}
