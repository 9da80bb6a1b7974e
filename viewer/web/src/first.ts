// SPDX-License-Identifier: MIT
// first.ts - what is asked of the server at once, in this order.
export const FIRST = ['trace.json', 'functions.json', 'index'];
