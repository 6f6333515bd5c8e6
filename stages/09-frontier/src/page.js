// Requests of the page with the key of its user. It is in front of the page's own script, in one function
// with it, so that `fetch` and `EventSource` mean these there. A browser sends no key with its own
// event source.

const KEY = "crucible-key"; // gone with the tab

const fetch = async (path, options = {}) => {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await window.fetch(path, { ...options, headers });
  if (response.status === 401) askForKey();
  return response;
};

function askForKey() {
  if (document.getElementById("key")) return;
  sessionStorage.removeItem(KEY);
  const form = document.createElement("form");
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"),
    { id: "key", type: "password", autocomplete: "off", required: true, placeholder: "crk_…" });
  const button = document.createElement("button");
  label.htmlFor = "key";
  label.textContent = "API key";
  button.textContent = "Use it";
  form.append(label, " ", input, " ", button);
  form.onsubmit = event => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    location.reload();
  };
  document.querySelector("main").prepend(form);
}

class EventSource {
  static CLOSED = 2;

  constructor(path) {
    Object.assign(this, { path, readyState: 0, listeners: {}, last: null });
    this.stop = new AbortController();
    this.follow();
  }

  addEventListener(kind, listener) { this.listeners[kind] = listener }

  close() {
    this.readyState = EventSource.CLOSED;
    this.stop.abort();
  }

  async follow() {
    while (this.readyState !== EventSource.CLOSED) {
      try {
        const headers = this.last === null ? {} : { "Last-Event-ID": this.last };
        const response = await fetch(this.path, { headers, signal: this.stop.signal });
        if (response.status !== 200) this.readyState = EventSource.CLOSED;
        else await this.read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch (error) {
        if (error.name === "AbortError") return;
      }
      this.onerror?.();
      await new Promise(done => setTimeout(done, 2000));
    }
  }

  async read(reader) {
    this.readyState = 1;
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach(block => this.dispatch(block));
    }
    if (this.readyState !== EventSource.CLOSED) this.readyState = 0;
  }

  dispatch(block) {
    const fields = { event: "message", data: [] };
    for (const line of block.split("\n")) {
      const [, name, value] = line.match(/^(event|data|id): ?(.*)$/) ?? [];
      if (name === "data") fields.data.push(value);
      else if (name) fields[name] = value;
    }
    if (fields.id !== undefined) this.last = fields.id;
    if (fields.data.length) this.listeners[fields.event]?.({ data: fields.data.join("\n") });
  }
}

