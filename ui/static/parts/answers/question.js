// What is asked about pictures: {adapter, labels, template, strength}; and asking it, of the adapter and of the base alike.
import { send } from "../../lib/api.js";

export const BASE = "base"; // the model without an adapter, by the name that the interface knows it by

export const key_of = ({ adapter, labels, template, strength }) => JSON.stringify([adapter, labels, template, strength]);

// What the base's answer depends on: it stays when the adapter or its strength changes.
export const base_key_of = ({ labels, template }) => JSON.stringify([labels, template]);

const LABEL = /\s*(?:"([^"\n]*)"[^\S\n]*(?=[,\n]|$)|([^,\n]*))(?:[,\n]|$)/y;

// Labels typed with commas or line ends between them; each once, in the order given. One in double quotes may have commas.
export function labels_of(text) {
  const found = new Set();
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [, quoted, plain] = LABEL.exec(text);
    found.add((quoted ?? plain).trim());
  }
  return [...found].filter(Boolean);
}

// Labels as they are typed.
export const typed_labels = (labels) => labels.map((label) => (/[,\n]/.test(label) && !label.includes('"') ? `"${label}"` : label)).join(", ");

// One prompt, or a list of those on several lines; null where nothing is written.
export function template_of(text) {
  const lines = [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];
  return lines.length > 1 ? lines : (lines[0] ?? null);
}

// The question of what is chosen and typed; null while there is nothing to choose from. `adapter` null is the base.
export function question_of(adapter, { labels = "", template = null, strength = null } = {}) {
  const wanted = labels_of(labels);
  const asked = wanted.length ? wanted : (adapter?.classes ?? []);
  if (!asked.length) return null;
  return {
    adapter: adapter?.id ?? BASE,
    labels: asked,
    template: template_of(template ?? "") ?? adapter?.template ?? null,
    strength: adapter ? (strength ?? adapter.strength) : null,
  };
}

// Answers to a question about files, in their order: [{main, threshold, base}]. main: what the model that is asked says;
// base: what the base says to the same labels and prompt, or null where it is asked itself, or `base_known`.
export async function answers_to(question, files, { signal, base_known = false } = {}) {
  const alone = question.adapter === BASE;
  const [main, base] = await Promise.all([
    classify(question, files, signal),
    alone || base_known ? null : classify({ ...question, adapter: BASE, strength: null }, files, signal),
  ]);
  return main.results.map((result, place) => ({
    main: result,
    threshold: main.unknown_threshold,
    base: base ? base.results[place] : null,
  }));
}

function classify({ adapter, labels, template, strength }, files, signal) {
  const form = new FormData();
  form.append("adapter", adapter);
  form.append("labels", JSON.stringify(labels));
  if (template !== null) form.append("template", typeof template === "string" ? template : JSON.stringify(template));
  if (strength !== null) form.append("strength", String(strength));
  form.append("on_error", "skip");
  for (const { name, content } of files) form.append("files", content, name);
  return send("/classify", form, { signal });
}
