// SPDX-License-Identifier: MIT
// proxy.mjs - every connection that a browser tries to make ends here and is remembered.
//
// So "no request" is asserted outside the browser, too, whatever its own counting leaves out.
import http from 'node:http';

// Hosts that a browser asks of its own accord, whatever page it shows.
const OWN = /(^|\.)(mozilla\.(com|org|net)|firefox\.com|google\.com|googleapis\.com|gvt1\.com|gstatic\.com)(:|\/|$)/;

export async function startProxy() {
	const asked = [];
	const note = (url) => {
		if (!OWN.test(url.replace(/^https?:\/\//, '').split('/')[0])) asked.push(url);
	};
	const server = http.createServer((request, response) => {
		note(request.url);
		response.writeHead(502).end();
	});
	server.on('connect', (request, socket) => {
		note(request.url);
		socket.destroy();
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	return { port: server.address().port, asked, close: () => server.close() };
}
