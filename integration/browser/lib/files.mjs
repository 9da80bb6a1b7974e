// SPDX-License-Identifier: MIT
// files.mjs - a server of files on 127.0.0.1, for other people's pages that read our exports.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };

// Serves FOLDER, and of each of FILES (name -> path) its content at /data/NAME.
export async function serveFiles(t, folder, files) {
	const server = http.createServer((request, response) => {
		const asked = decodeURIComponent(new URL(request.url, 'http://x').pathname);
		const file = asked.startsWith('/data/') ? files[asked.slice(6)]
			: path.join(folder, path.normalize(asked === '/' ? '/index.html' : asked));
		if (!file || !fs.existsSync(file)) {
			response.writeHead(404).end();
			return;
		}
		response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
		fs.createReadStream(file).pipe(response);
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	t.after(() => new Promise((resolve) => {
		server.closeAllConnections?.();
		server.close(resolve);
	}));
	return `http://127.0.0.1:${server.address().port}`;
}
