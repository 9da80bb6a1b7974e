// SPDX-License-Identifier: MIT
// engine_entry.ts - the parts of the page that run without a browser, for tests/engine.mjs.
export { Builder } from '../../../viewer/web/src/builder';
export { Core } from '../../../viewer/web/src/core';
export { assemble } from '../../../viewer/web/src/assemble';
export { Directory, readHeader } from '../../../viewer/web/src/directory';
export { Queries } from '../../../viewer/web/src/queries';
export { HttpSource, openHttp } from '../../../viewer/web/src/source_http';
export { EmbedSource } from '../../../viewer/web/src/source_embed';
export { unpack, toText } from '../../../viewer/web/src/bytes';
