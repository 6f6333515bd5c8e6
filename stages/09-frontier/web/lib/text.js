// What a program writes is hostile. It only ever becomes a text node; here, what is invisible in it, or turns the
// direction of text round, becomes visible.

const KEPT = "\n\t";
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

const codePoint = character =>
  `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

// Output, with its lines: control characters as their code points. A line may end with a carriage return.
export const visible = text =>
  text.replace(/\r\n/g, "\n").replace(HIDDEN, it => KEPT.includes(it) ? it : codePoint(it));

// A name on one line: of a file, a label, a key.
export const visibleName = text => String(text).replace(HIDDEN, codePoint);

// The bytes of `{ text, encoding }`, as the contract has output and the paths of files.
export function bytes({ text, encoding }) {
  if (encoding !== "base64") return new TextEncoder().encode(text);
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

// The text of `{ text, encoding }`, with the replacement character for what is no text.
export const decoded = output =>
  output.encoding === "base64" ? new TextDecoder().decode(bytes(output)) : output.text;
