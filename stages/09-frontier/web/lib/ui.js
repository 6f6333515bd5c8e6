// What the pages are made of: Preact, htm and signals, from one file.
export * from "/web/vendor/preact.js";
