// JSON as text: it is laid out and coloured without being read, so that no number loses a digit.

const TOKEN = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)|([{}[\],:])|\s+/g;

// Return [kind, text] for each part; the kind is name, string, number, word or nothing.
export function tokens(text) {
  return [...text.matchAll(TOKEN)].flatMap(([all, string, colon, number, word]) => {
    if (string && colon) return [["name", string], ["", colon]];
    if (string) return [["string", string]];
    if (number) return [["number", number]];
    return [[word ? "word" : "", all]];
  });
}

// Return valid JSON with two blanks a level; empty lists and objects stay on their line.
export function pretty(text) {
  let [depth, laid] = [0, ""];
  const parts = tokens(text).map(([, part]) => part.trim()).filter(Boolean);
  const line = () => `\n${"  ".repeat(depth)}`;
  parts.forEach((part, index) => {
    const empty = /^[{[]$/.test(parts[index - 1] ?? "");
    if (/^[}\]]$/.test(part)) {
      depth -= 1;
      laid += empty ? part : line() + part;
    } else {
      laid += (empty ? line() : "") + part;
    }
    if (/^[{[]$/.test(part)) depth += 1;
    if (part === ",") laid += line();
    if (part === ":") laid += " ";
  });
  return laid;
}
