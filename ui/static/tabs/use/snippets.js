// Code that runs as it is pasted, for what the visitor has.
//
// An example is {url, key, adapter, labels, text, place, dataset_id}. `key` empty: the code reads it from SAFT_API_KEY.
// `place` ({kind: "dataset" or "collection", id}) and `dataset_id` null: the visitor has none, and the code makes one.
import * as curl from "./curl.js";
import * as javascript from "./javascript.js";
import * as python from "./python.js";

export const TASKS = ["classify", "own_labels", "search", "tune", "embed"];
export const LANGUAGES = { curl: "curl", python: "Python", javascript: "JavaScript" };
const WRITERS = { curl, python, javascript };
const BASE_LABELS = ["a cat", "a dog", "a bicycle"];

export const snippet = (language, task, example) => WRITERS[language][task](example);

export const some_labels = (adapter) => (adapter?.classes.length ? adapter.classes.slice(0, 3) : BASE_LABELS);

// A text that fits the adapter: the (first) prompt of its first class, as it was trained with where that is known.
// What an imported adapter says of itself may be anything.
export function search_text(adapter) {
  if (!adapter?.classes.length) return "a photo of a cat";
  let prompt = adapter.metrics?.prompts;
  while (Array.isArray(prompt) && prompt.length) prompt = prompt[0];
  if (typeof prompt === "string" && prompt) return prompt;
  const template = [adapter.template].flat()[0] ?? "{}";
  return template.replaceAll("{}", () => adapter.classes[0]);
}
