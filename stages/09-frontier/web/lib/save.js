// Saves bytes as a file of this browser. The type is that of no document, so that nothing opens it as one.

export function save(bytes, name) {
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// A name for it: letters, digits and a few signs, of the last part of a path that a program has chosen.
export function safeName(path, fallback) {
  const last = path.split("/").at(-1).replace(/[^A-Za-z0-9._-]/g, "_").replace(/^[.]+/, "");
  return last.slice(-100) || fallback;
}
