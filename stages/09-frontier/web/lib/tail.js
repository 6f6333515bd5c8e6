// Output while it is written. A program may write without end and very fast: what arrives is gathered until the
// next frame, and only the end of it is in the document.

import { bytes, visible } from "./text.js";

const MAX_CHARACTERS = 400_000;

export class Tail {
  constructor() {
    Object.assign(this, { element: null, pending: [], length: 0, held: "", frame: null, isClosed: false });
    this.decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  }

  // Shows what has arrived, and what will, in `element`.
  attach(element) {
    this.element = element;
    this.frame = requestAnimationFrame(() => this.show());
  }

  // The data of an event `evaluation.progress`.
  take({ stream, text, encoding }) {
    if (this.isClosed) return;
    const decoded = this.decoders[stream].decode(bytes({ text, encoding }), { stream: true });
    const last = this.pending.at(-1);
    if (last?.stream === stream) last.text += decoded;
    else this.pending.push({ stream, text: decoded });
    if (this.element) this.frame ??= requestAnimationFrame(() => this.show());
  }

  // What comes from now on is of another attempt.
  restart(attempt) {
    this.decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    this.pending.push({ stream: "attempt", text: `\n--- attempt ${attempt} ---\n` });
  }

  show() {
    this.frame = null;
    const { element } = this;
    const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 24;
    for (const { stream, text } of this.pending) this.append(stream, text);
    this.pending = [];
    while (this.length > MAX_CHARACTERS && element.childNodes.length > 1) {
      this.length -= element.firstChild.textContent.length;
      element.firstChild.remove();
    }
    if (isAtEnd) element.scrollTop = element.scrollHeight;
  }

  append(stream, text) {
    // A line may end with two characters, of which one is here.
    const whole = this.held + text;
    this.held = whole.endsWith("\r") ? "\r" : "";
    const shown = visible(this.held ? whole.slice(0, -1) : whole).slice(-MAX_CHARACTERS);
    const part = document.createElement("span");
    part.className = stream;
    part.textContent = shown;
    this.length += shown.length;
    this.element.append(part);
  }

  close() {
    this.isClosed = true;
    if (this.frame !== null) cancelAnimationFrame(this.frame);
  }
}
