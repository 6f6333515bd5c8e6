// Requests as commands. The key is never in one: it would be in the history of a shell.

import { key } from "./api.js";

const quoted = text => `'${text.replaceAll("'", `'\\''`)}'`;

export function curl(method, path, body) {
  const parts = ["curl -sS"];
  if (method !== "GET") parts.push(`-X ${method}`);
  parts.push(quoted(`${location.origin}${path}`));
  if (key.value) parts.push(`-H "Authorization: Bearer $CRUCIBLE_KEY"`);
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `--data-raw ${quoted(JSON.stringify(body))}`);
  return parts.join(" \\\n  ");
}
