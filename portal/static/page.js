// The reference page: copy buttons, the choice of language, and the key after log-in.

export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // A clinic's LAN has plain http, where browsers hide the clipboard.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser refused to copy.");
}

export async function tellCopied(button, text) {
  const before = button.textContent;
  try {
    await copy(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: select it by hand";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

for (const button of document.querySelectorAll("figure.code .copy")) {
  button.addEventListener("click", () => tellCopied(button, button.closest("figure").querySelector("code").textContent));
}

// --- Language -----------------------------------------------------------------------------------

const LANGUAGE = "language";
const choices = [...document.querySelectorAll("input[name=language]")];

function show(language) {
  for (const figure of document.querySelectorAll("figure[data-language]")) {
    figure.hidden = figure.dataset.language !== language;
  }
}

function remembered() {
  try {
    return localStorage.getItem(LANGUAGE);
  } catch {
    return null; // a browser that forbids storage
  }
}

function remember(language) {
  try {
    localStorage.setItem(LANGUAGE, language);
  } catch {
    // it is only a convenience
  }
}

const chosen = choices.find((choice) => choice.value === remembered()) ?? choices[0];
chosen.checked = true;
show(chosen.value);
for (const choice of choices) {
  choice.addEventListener("change", () => { remember(choice.value); show(choice.value); });
}

// --- Key ----------------------------------------------------------------------------------------

const MASK = "•".repeat(24);
const reveal = document.querySelector("#reveal");

function keyRow(name, key) {
  const [term, told, code, button, use] = ["dt", "dd", "code", "button", "button"].map((tag) => document.createElement(tag));
  term.textContent = name;
  code.textContent = key;
  button.type = use.type = "button";
  button.className = use.className = "second";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy the key ${name}`);
  button.addEventListener("click", () => tellCopied(button, key));
  use.textContent = "Use in the sandbox";
  use.setAttribute("aria-label", `Use in the sandbox: the key ${name}`);
  use.addEventListener("click", () => { document.querySelector("#try").elements.key.value = key; });
  told.append(code, button, use);
  return [term, told];
}

function mask() {
  const [term, told] = [document.createElement("dt"), document.createElement("dd")];
  const code = document.createElement("code");
  term.textContent = "X-API-Key";
  code.textContent = MASK;
  told.append(code);
  document.querySelector("#keys dl").replaceChildren(term, told);
}

reveal?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [button, status] = [reveal.querySelector("button"), reveal.querySelector("[role=status]")];
  if (button.textContent === "Hide") {
    mask();
    button.textContent = "Reveal";
    return;
  }
  status.textContent = "";
  try {
    const answer = await fetch(reveal.action, { method: "POST", body: new URLSearchParams(new FormData(reveal)) });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.detail);
    const keys = Object.entries(told.keys);
    document.querySelector("#keys dl").replaceChildren(...keys.flatMap(([name, key]) => keyRow(name, key)));
    const input = document.querySelector("#try").elements.key;
    input.value ||= keys[0][1];
    button.textContent = "Hide";
  } catch (error) {
    status.textContent = error instanceof TypeError ? "The service does not answer." : error.message;
  }
});
