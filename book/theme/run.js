// A button below each program of a chapter: sends it to the reader's own stage, and shows what comes back.
//
// The stage decides whether it answers this page (`--allow-origin`). The address has to be of this machine.
// A key is kept in its field, and goes to that address only. What a program prints is shown as text.
"use strict";
(() => {
  const POLL_INTERVAL = 400;
  const MAX_POLL_INTERVAL = 3000;
  const FIRST_WITH_KEYS = 9;
  const LOOPBACK = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;
  const BOOK = "http://127.0.0.1:3000";

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const code = (text) => element("code", { textContent: text });
  const paragraph = (...children) => element("p", {}, ...children);
  const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  // Characters that change the direction of writing are made visible, as on a stage's command line.
  const harmless = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

  // "open" to this page, "closed" to it, or "none": a request whose answer may not be read still tells
  // whether there is one.
  const reach = async (address) => {
    try {
      await fetch(`${address}/queue`, { cache: "no-store" });
      return "open";
    } catch {
      try {
        await fetch(`${address}/queue`, { mode: "no-cors", cache: "no-store" });
        return "closed";
      } catch {
        return "none";
      }
    }
  };

  const help = (state, stage, address) => {
    if (location.origin === "null" || location.protocol === "file:") {
      return [
        paragraph("This page was opened from a file. A browser gives all such pages the same origin, ", code("null"),
          ", so that a stage cannot allow this one alone. Serve the book, and open it at ", code(BOOK), ":"),
        element("pre", {}, code("just book-serve")),
      ];
    }
    const listen = address.endsWith(`:80${stage.number}`) ? "" : ` --listen ${address.replace("http://", "")}`;
    const what = state === "none"
      ? paragraph(`No stage answers at ${address}. Start it at the root of the repository, so that this page may use it, and press again:`)
      : paragraph(`Something listens at ${address} and does not allow this page. If it is stage ${stage.number}, stop it, start it so, and press again:`);
    return [what, element("pre", {}, code(`cargo run -p ${stage.package} --${listen} --allow-origin ${location.origin}`))];
  };

  const problem = async (response) => {
    const body = await response.json().catch(() => ({}));
    const text = `The stage refused the program: ${response.status} ${body.title ?? ""}. ${body.detail ?? ""}`;
    return [paragraph(text)];
  };

  const stream = (name, output) => {
    if (!output?.text) return [];
    const text = output.encoding === "utf8" ? output.text : `${output.bytes_total} bytes that are no text`;
    const cut = output.truncated ? `, the first part of ${output.bytes_total} bytes` : "";
    const shown = element("pre", { className: "output", tabIndex: 0 }, code(harmless(text)));
    shown.dataset.stream = name;
    return [element("p", { className: "stream", textContent: `${name}${cut}` }), shown];
  };

  const summary = (evaluation) => {
    const { status, outcome, exit_code, signal, evidence, sandbox, usage, error } = evaluation;
    const parts = [outcome ?? status];
    if (exit_code !== null && exit_code !== undefined) parts.push(`exit code ${exit_code}`);
    if (signal) parts.push(signal);
    if (evidence) parts.push(`decided by ${evidence.decided_by}`);
    if (usage) parts.push(`${usage.wall_ms} ms`);
    if (sandbox) parts.push(`in ${[sandbox.engine, sandbox.runtime].filter(Boolean).join("/")}`);
    if (error) parts.push(error);
    return [element("p", { className: "outcome", textContent: parts.join(", ") }),
      ...stream("stdout", evaluation.stdout), ...stream("stderr", evaluation.stderr)];
  };

  const evaluate = async (address, key, text, show) => {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const body = JSON.stringify({ code: text });
    const json = { ...headers, "Content-Type": "application/json" };
    const accepted = await fetch(`${address}/eval`, { method: "POST", headers: json, body });
    if (!accepted.ok) {
      show(await problem(accepted));
      return accepted.status;
    }
    let evaluation = await accepted.json();
    for (let wait = POLL_INTERVAL; evaluation.outcome === null; wait = Math.min(wait * 1.3, MAX_POLL_INTERVAL)) {
      show(summary(evaluation));
      await delay(wait);
      const answer = await fetch(`${address}/eval/${evaluation.id}`, { headers, cache: "no-store" });
      if (answer.ok) {
        evaluation = await answer.json();
      } else if (answer.status === 429) {
        await delay(1000 * Number(answer.headers.get("retry-after") ?? 1));
      } else {
        show(await problem(answer));
        return answer.status;
      }
    }
    show(summary(evaluation));
    return 200;
  };

  for (const caption of document.querySelectorAll("p.file[data-stage]")) {
    const stage = { number: caption.dataset.stage, package: caption.dataset.package };
    const program = caption.nextElementSibling;
    const text = program.querySelector("code").textContent;
    const isDangerous = "unsandboxed" in caption.dataset;
    const button = element("button", { textContent: `Run on stage ${stage.number}` });
    const field = element("input", { type: "url", value: `http://127.0.0.1:80${stage.number}`, autocomplete: "off" });
    const key = element("input", { type: "password", autocomplete: "off" });
    const settings = element("details", {}, element("summary", { textContent: "Where" }),
      element("label", {}, "Address of the stage ", field));
    if (Number(stage.number) >= FIRST_WITH_KEYS) settings.append(element("label", {}, "Key, if it has any ", key));
    // A screen reader announces the status when it changes, and not the output each time it grows.
    const status = element("div");
    status.setAttribute("role", "status");
    const output = element("div");
    const result = element("div", { className: "result" }, status, output);
    const form = element("form", { className: "run" }, button, settings, result);
    // A chapter and its quiz may show the same program.
    const quiz = caption.closest(".quiz")?.id;
    form.setAttribute("aria-label", `Run ${caption.textContent}${quiz ? `, ${quiz}` : ""}`);
    let isConfirmed = !isDangerous;

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const show = ([first, ...rest]) => {
        if (status.textContent !== first.textContent) status.replaceChildren(first);
        output.replaceChildren(...rest);
      };
      const address = field.value.trim().replace(/\/$/, "");
      if (!LOOPBACK.test(address)) {
        settings.open = true;
        show([paragraph("Give an address of this machine, such as ", code(`http://127.0.0.1:80${stage.number}`), ".")]);
        return;
      }
      if (!isConfirmed) {
        isConfirmed = true;
        button.textContent = "Run it on this machine, as me";
        show([paragraph(`Stage ${stage.number} isolates nothing: the program runs on this machine, with all the rights of the user who started the stage. Read it first, and press again.`)]);
        return;
      }
      button.disabled = true;
      show([paragraph(`Looking for stage ${stage.number} at ${address} ...`)]);
      try {
        const state = await reach(address);
        if (state !== "open") {
          show(help(state, stage, address));
        } else if ((await evaluate(address, key.value.trim(), text, show)) === 401) {
          settings.open = true;
          key.focus();
        }
      } catch (error) {
        show([paragraph(`The connection to the stage was lost: ${error.message}`)]);
      }
      button.disabled = false;
    });
    form.addEventListener("keydown", (event) => event.stopPropagation());
    program.after(form);
  }
})();
