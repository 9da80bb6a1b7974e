// SPDX-License-Identifier: MIT
// run.mjs - the browser tests; started by integration/browser.py with what they need.
//
// usage: node run.mjs WORLD.json [PART-OF-A-NAME...]
// WORLD.json: {vizview, scratch, shots, traces: {name: path}}.  Output: a JSON object for each test.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchChromium } from './lib/browsers.mjs';
import { run } from './lib/runner.mjs';
import { stopServers } from './lib/view.mjs';

const world = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
world.here = path.dirname(fileURLToPath(import.meta.url));
fs.mkdirSync(world.shots, { recursive: true });
for (const file of fs.readdirSync(path.join(world.here, 'tests')).sort())
	if (file.endsWith('.mjs')) await import(`./tests/${file}`);
world.chromium = await launchChromium();
await run(world, process.argv.slice(3));
await stopServers(world);
await world.chromium.close();
if (world.firefox) await world.firefox.close();
process.exit(0);
