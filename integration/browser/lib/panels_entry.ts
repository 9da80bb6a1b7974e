// SPDX-License-Identifier: MIT
// panels_entry.ts - the parts of the page that need no browser, for tests/parts.mjs.
export { merged, position, least } from '../../../viewer/web/src/panels/buckets';
export { Calls } from '../../../viewer/web/src/panels/calls';
export { read } from '../../../viewer/web/src/panels/compare';
export { endOf, tokens } from '../../../viewer/web/src/panels/source';
export { detailsJson, detailsText, stay, tracksText, values, wallClock } from '../../../viewer/web/src/panels/text';
export { contrast, packed, Palette } from '../../../viewer/web/src/colours';
