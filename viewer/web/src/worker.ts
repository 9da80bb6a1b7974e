// SPDX-License-Identifier: MIT
// worker.ts - what runs beside the page: one worker answers queries, others build the index of an HTML file.

import type { BuildInit, Call, FromBuild, FromQuery, QueryInit, ToBuild, ToQuery } from './protocol';
import { Builder } from './builder';
import { Core } from './core';
import { Cancelled, type Ticket } from './jobs';
import { Queries } from './queries';
import { EmbedSource } from './source_embed';
import { HttpSource } from './source_http';
import { type Source, Unreachable } from './source';

interface Scope {
	onmessage: ((event: MessageEvent<ToQuery | ToBuild>) => void) | null;
	postMessage(message: FromQuery | FromBuild, transfer?: ArrayBuffer[]): void;
}

const scope = self as unknown as Scope;

const say = (message: FromQuery | FromBuild, transfer: ArrayBufferLike[] = []): void =>
	scope.postMessage(message, [...new Set(transfer)].filter((b) => b.byteLength) as ArrayBuffer[]);

function fail(id: number, error: unknown): void {
	const kind = error instanceof Cancelled ? 'cancelled' : error instanceof Unreachable ? 'unreachable' : 'other';
	say({ from: 'failure', id, message: error instanceof Error ? error.message : String(error), kind });
}

function startQueries(init: QueryInit): (message: ToQuery) => void {
	const tickets = new Map<number, Ticket>();
	const running = new Set<Promise<void>>();
	const source: Source = init.source.kind === 'http' ? new HttpSource(init.source.base) : new EmbedSource(init.source.index);
	let queries: Queries | null = null, broken: unknown = null;
	try {
		queries = new Queries(new Core(init.module), source, init.directory, init.nfunctions);
	} catch (error) {
		broken = error; // said to each who asks
	}

	const answer = async (call: Call): Promise<void> => {
		const ticket: Ticket = { cancelled: false };
		tickets.set(call.id, ticket);
		try {
			if (!queries) throw broken;
			const { value, transfer } = await queries.answer(call, ticket);
			say({ from: 'answer', id: call.id, value }, transfer);
		} catch (error) {
			fail(call.id, error);
		}
		tickets.delete(call.id);
	};

	const run = (call: Call): void => {
		const promise: Promise<void> = answer(call).finally(() => running.delete(promise));
		running.add(promise);
	};

	let replacing: Promise<void> | null = null; // calls that come meanwhile wait
	const replace = async (message: Extract<ToQuery, { to: 'replace' }>): Promise<void> => {
		await Promise.all(running);
		try {
			if (!queries) throw broken;
			say({ from: 'answer', id: message.id, value: queries.replace(message) });
		} catch (error) {
			fail(message.id, error);
		}
		replacing = null;
	};

	return (message) => {
		if (message.to === 'call') replacing ? replacing.then(() => run(message)) : run(message);
		else if (message.to === 'cancel') {
			const ticket = tickets.get(message.id);
			if (ticket) ticket.cancelled = true;
		} else if (message.to === 'extra') (source as EmbedSource).add(message);
		else if (message.to === 'replace') replacing = replace(message);
	};
}

function startBuilder(init: BuildInit): (message: ToBuild) => void {
	try {
		const builder = new Builder(init, say);
		return (message) => {
			if (message.to === 'feed') builder.feed(message);
			else if (message.to === 'finish') builder.finish();
		};
	} catch (error) {
		fail(-1, error);
		return () => undefined;
	}
}

scope.onmessage = ({ data }) => {
	if (data.to !== 'init') return;
	const handle = (data.role === 'query' ? startQueries(data) : startBuilder(data)) as (message: ToQuery | ToBuild) => void;
	scope.onmessage = (event) => handle(event.data);
};
