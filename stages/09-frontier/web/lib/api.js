// Requests to this server, with the key of whoever looks. The key is in the storage of the tab, and gone with it.

import { signal } from "./ui.js";

const STORED = "crucible-key";

export const key = signal(sessionStorage.getItem(STORED));
// Whether the server has asked for a key, or for another one.
export const isKeyWanted = signal(false);

export function useKey(text) {
  if (text) sessionStorage.setItem(STORED, text);
  else sessionStorage.removeItem(STORED);
  isKeyWanted.value = false;
  key.value = text || null;
}

// An answer that is an error: the problem (RFC 9457) in it.
export class Problem extends Error {
  constructor(status, body, headers) {
    const { detail, title, errors = [], request_id } = body ?? {};
    const faults = errors.map(({ pointer, detail }) => [pointer, detail].filter(Boolean).join(": "));
    super([detail ?? title ?? `the server has answered ${status}`, ...faults].join("; "));
    Object.assign(this, { name: "Problem", status, body, request_id, retryAfter: headers?.get("retry-after") });
  }
}

export const authorization = () => key.value ? { Authorization: `Bearer ${key.value}` } : {};

// A response of any status but 401. A server that cannot be reached is an error with status 0.
export async function send(path, { headers, ...options } = {}) {
  const used = key.value;
  let response;
  try {
    response = await fetch(path, {
      ...options, headers: { ...authorization(), ...headers }, credentials: "omit", redirect: "error", cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the server does not answer" });
  }
  if (response.status === 401 && used === key.value) isKeyWanted.value = true;
  return response;
}

// The body of a response to a request, parsed: call("POST", "/eval", { body: { code } }).
// `full` gives { status, headers, body } instead.
export async function call(method, path, { body, headers, query, signal, full = false } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const search = query ? new URLSearchParams(Object.entries(query).filter(([, value]) => value != null && value !== "")) : "";
  const response = await send(`${path}${search.toString() && `?${search}`}`, {
    method, body: text, signal, headers: { ...(text && { "Content-Type": "application/json" }), ...headers },
  });
  const isJson = /\bjson\b/.test(response.headers.get("content-type") ?? "");
  const answer = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, isJson ? answer : null, response.headers);
  return full ? { status: response.status, headers: response.headers, body: answer } : answer;
}

export const get = (path, options) => call("GET", path, options);
