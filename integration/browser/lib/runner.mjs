// SPDX-License-Identifier: MIT
// runner.mjs - tests are declared with test(), run one after the other, and told as JSON, a line each.
//
// A test collects all that is wrong instead of ending at the first: one run tells everything.
import { performance } from 'node:perf_hooks';

const PATIENCE_MS = 45000; // bound for one test; no test measures time

export class Skip extends Error {}

export class Test {
	constructor(group, name) {
		this.group = group;
		this.name = name;
		this.failures = [];
		this.cleanups = [];
	}

	check(condition, text) {
		if (!condition) this.failures.push(text);
		return Boolean(condition);
	}

	equal(actual, expected, what) {
		const a = JSON.stringify(actual), b = JSON.stringify(expected);
		return this.check(a === b, `${what}: ${short(a)}, expected ${short(b)}`);
	}

	none(items, what) {
		return this.check(!items.length, `${what}: ${items.slice(0, 6).map(short).join('; ')}` +
			(items.length > 6 ? ` and ${items.length - 6} more` : ''));
	}

	// Without which the rest makes no sense.
	need(condition, text) {
		if (!condition) throw new Error(text);
	}

	// Called when the test is over, last first.
	after(cleanup) { this.cleanups.push(cleanup); }
}

export function short(text) {
	const s = typeof text === 'string' ? text : JSON.stringify(text);
	return s === undefined || s.length <= 300 ? String(s) : s.slice(0, 300) + '...';
}

const tests = [];
let currentGroup = '';

export function group(name) { currentGroup = name; }

export function test(name, run) { tests.push({ group: currentGroup, name, run }); }

async function bounded(promise, ms) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`not done within ${ms / 1000} s`)), ms);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

async function one(declared, world) {
	const t = new Test(declared.group, declared.name);
	const begin = performance.now();
	let why = null;
	try {
		await bounded(declared.run(t, world), PATIENCE_MS);
	} catch (error) {
		if (error instanceof Skip) why = error.message;
		else t.failures.push(String(error.stack ?? error).split('\n').slice(0, 6).join('\n'));
	}
	for (const cleanup of t.cleanups.reverse()) {
		try {
			await bounded(cleanup(), 15000);
		} catch (error) {
			t.failures.push(`while cleaning up: ${error.message}`);
		}
	}
	const seconds = (performance.now() - begin) / 1000;
	const mark = t.failures.length ? 'FAIL' : why !== null ? 'skip' : 'pass';
	process.stdout.write(JSON.stringify({ group: t.group, name: t.name, mark, why, seconds,
		failures: t.failures }) + '\n');
}

// Run those whose "group: name" has one of WANTED in it; all if there is none.
export async function run(world, wanted) {
	for (const declared of tests) {
		const title = `${declared.group}: ${declared.name}`;
		if (!wanted.length || wanted.some((part) => title.includes(part))) await one(declared, world);
	}
}
