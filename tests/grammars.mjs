// Parses a file of Windows by its grammar: node grammars.mjs powershell|batch FILE. Prints a line for each error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Language, Parser } = await import("web-tree-sitter");
const [kind, path] = process.argv.slice(2);
const require = createRequire(import.meta.url);
await Parser.init();
const grammar = require.resolve(`tree-sitter-${kind}/tree-sitter-${kind}.wasm`);
const parser = new Parser();
parser.setLanguage(await Language.load(grammar));
const tell = (node) => {
  if (node.isError || node.isMissing) {
    console.log(`line ${node.startPosition.row + 1}: ${node.text.slice(0, 60)}`);
  }
  node.children.filter((child) => child.hasError).forEach(tell);
};
tell(parser.parse(readFileSync(path, "utf8")).rootNode);
