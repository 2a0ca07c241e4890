// All answers as a table for a spreadsheet.
import { save } from "../../lib/save.js";
import { is_strange, top_of } from "../../parts/answers/verdict.js";

const FORMULA = /^[=+\-@\t\r\n]/;

// A text as RFC 4180 has it; one that a spreadsheet would take for a formula has an apostrophe before it.
function text(value) {
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// entries: [{name, answer}], all answers to one question about these labels.
export function as_csv(entries, labels) {
  const head = ["file", "label", ...labels.map((label) => `probability: ${label}`), "unknown", "none_of_these", "base_label", "error"];
  const lines = [head.map(text), ...entries.map(({ name, answer }) => line(name, answer, labels))];
  return lines.map((fields) => `${fields.join(",")}\r\n`).join("");
}

function line(name, answer, labels) {
  const { main, base } = answer;
  if (main.error) return [text(name), ...labels.map(() => ""), "", "", "", "", text(main.error.detail)];
  const shares = new Map(main.predictions.map(({ label, probability }) => [label, probability]));
  const strange = main.unknown === null ? ["", ""] : [main.unknown, is_strange(answer) ? "yes" : "no"];
  return [text(name), text(top_of(main).label), ...labels.map((label) => shares.get(label) ?? ""), ...strange, text(top_of(base)?.label ?? ""), ""];
}

// The mark at the start tells spreadsheets that it is UTF-8.
export const download = (name, content) => save(new Blob(["\ufeff", content], { type: "text/csv" }), name);
