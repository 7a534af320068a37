// The sandbox: build a request, send it, show the answer. Everything is shown by textContent, never as markup.

import { tellCopied } from "./page.js";
import { pretty, tokens } from "./json.js";

const TIMEOUT = 120_000; // milliseconds, as long as the service works on one request
const COLOURED = 200_000; // characters; more would make the browser slow
const api = new URL(document.querySelector("[data-api]").dataset.api, location.origin);
const operations = JSON.parse(document.querySelector("#operations").textContent);
const form = document.querySelector("#try");
const { operation, key, id, query, body, dryRun, atomic, minimal } = form.elements;
const at = (selector) => document.querySelector(selector);
const [syntax, lines, told] = [at("#syntax"), at("#lines"), at("#told")];

const chosen = () => operations.find((it) => it.label === operation.value);
const writes = () => chosen().method === "POST";

// --- Editing ------------------------------------------------------------------------------------

function choose() {
  const { body: sample, path, query: usual, filters } = chosen();
  at("#body-field").hidden = at("#options").hidden = at("#format").hidden = !writes();
  at("#id-field").hidden = !path.includes("{id}");
  at("#query-field").hidden = at("#filters").hidden = usual === undefined;
  body.value = sample ?? "";
  query.value = usual ?? "";
  at("#filters").textContent = filters ? `There are ${filters.join(", ")}.` : "";
  check();
  warn();
}

function warn() {
  at("#stores").hidden = dryRun.checked || !writes();
}

// Where a browser says "at position 7" or "(line 1 column 8)"; Safari says nothing of the place.
function place(message, text) {
  const [, line] = message.match(/line (\d+)/) ?? [];
  const [, position] = message.match(/position (\d+)/) ?? [];
  if (line) return Number(line);
  if (position) return text.slice(0, Number(position)).split("\n").length;
  return /end of|unterminated/i.test(message) ? text.split("\n").length : null;
}

function check() {
  const text = body.value;
  let wrong = null;
  syntax.textContent = "";
  if (writes()) {
    try {
      JSON.parse(text);
    } catch (error) {
      wrong = place(error.message, text);
      syntax.textContent = `${wrong ? `Line ${wrong}: ` : ""}${error.message}`;
    }
  }
  body.setAttribute("aria-invalid", String(syntax.textContent !== ""));
  number(wrong);
  return syntax.textContent === "";
}

function number(wrong) {
  lines.replaceChildren(...body.value.split("\n").map((_, index) => {
    const line = document.createElement("span");
    line.textContent = `${index + 1}\n`;
    line.className = index + 1 === wrong ? "wrong" : "";
    return line;
  }));
  lines.scrollTop = body.scrollTop;
}

// --- The request --------------------------------------------------------------------------------

function address() {
  const url = new URL(api.pathname + chosen().path.replace("{id}", encodeURIComponent(id.value.trim())), location.origin);
  if (writes()) {
    if (dryRun.checked) url.searchParams.set("dryRun", "true");
    if (atomic.checked) url.searchParams.set("atomic", "true");
  } else if (chosen().query !== undefined) {
    url.search = query.value.trim();
  }
  return url;
}

function headers() {
  const sent = { "X-API-Key": key.value.trim() };
  if (writes()) sent["Content-Type"] = "application/json";
  if (writes() && minimal.checked) sent.Prefer = "return=minimal";
  return sent;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function asCurl() {
  // The key stays out of what is copied: a shell remembers its lines.
  const named = Object.entries(headers()).filter(([name]) => name !== "X-API-Key");
  const parts = [`curl ${quoted(address().href)}`, '-H "X-API-Key: $API_KEY"'];
  parts.push(...named.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`));
  if (!writes()) return parts.join(" \\\n  ");
  let end = "JSON";
  while (body.value.split("\n").includes(end)) end += "_";
  return `${parts.join(" \\\n  ")} \\\n  --data-binary @- <<'${end}'\n${body.value}\n${end}\n`;
}

async function send() {
  at("#answer").hidden = true;
  if (!check()) {
    body.focus();
    told.textContent = "Not sent: the body is not JSON.";
    return;
  }
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  told.textContent = "Sending …";
  try {
    await ask();
    told.textContent = "";
  } catch (error) {
    told.textContent = error.name === "TimeoutError"
      ? `No answer within ${TIMEOUT / 1000} seconds. The work may go on; to send it again is harmless.`
      : `No answer: the service cannot be reached, or the request cannot be sent. (${error.message})`;
  } finally {
    button.disabled = false;
  }
}

async function ask() {
  const started = performance.now();
  const request = { method: chosen().method, headers: headers(), signal: AbortSignal.timeout(TIMEOUT), credentials: "omit" };
  if (writes()) request.body = body.value;
  const answer = await fetch(address(), request);
  const blob = await answer.blob();
  const milliseconds = Math.round(performance.now() - started);
  show(answer, await blob.text(), blob.size, milliseconds);
}

// --- The answer ---------------------------------------------------------------------------------

function show(answer, text, size, milliseconds) {
  const status = document.createElement("b");
  status.textContent = `${answer.status} ${answer.statusText}`;
  status.className = answer.ok && answer.status !== 207 ? "good" : "bad";
  const rest = `${milliseconds} ms · ${size.toLocaleString("en")} bytes · request ${answer.headers.get("X-Request-Id")}`;
  at("#summary").replaceChildren(status, ` · ${rest}`);
  at("#json").replaceChildren(...coloured(text));
  at("#answer").hidden = false;
}

function coloured(text) {
  let shown;
  try {
    JSON.parse(text);
    shown = pretty(text);
  } catch {
    return [text];
  }
  if (shown.length > COLOURED) return [shown];
  return tokens(shown).map(([kind, part]) => {
    if (!kind) return part;
    const span = document.createElement(kind === "string" ? "bdi" : "span");
    span.className = kind;
    span.textContent = part;
    return span;
  });
}

// --- Wiring -------------------------------------------------------------------------------------

operation.addEventListener("change", choose);
dryRun.addEventListener("change", warn);
body.addEventListener("input", check);
body.addEventListener("scroll", () => { lines.scrollTop = body.scrollTop; });
form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
});
at("#format").addEventListener("click", () => { if (check()) { body.value = pretty(body.value); check(); } });
at("#curl").addEventListener("click", (event) => tellCopied(event.currentTarget, asCurl()));
for (const button of document.querySelectorAll("button.try")) {
  button.addEventListener("click", () => {
    operation.value = button.dataset.operation;
    choose();
    at("#sandbox").scrollIntoView();
    body.focus({ preventScroll: true });
  });
}
choose();
