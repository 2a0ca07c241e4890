// Words, numbers and dates in the visitor's language. All words are in strings/<language>.json; `t` finds them by their keys.
//
// {name} in a text is replaced by a value; a number is written as the language does. A text that depends on a number is
// an object of its plural forms ({"one": "{count} picture", "other": "{count} pictures"}), chosen by `count`.
import { browser } from "./storage.js";
import { store, useStore } from "./store.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const KEPT = "saft-language";

export const language = store("en");
const words = {};

async function load(name) {
  words[name] ??= await (await fetch(new URL(`../strings/${name}.json`, import.meta.url))).json();
}

function preferred() {
  const wished = [browser.kept(KEPT), ...navigator.languages.map((tag) => tag.split("-")[0])];
  return wished.find((name) => name in LANGUAGES) ?? "en";
}

// Resolves when words are there; nothing is drawn before.
export const ready = (async () => {
  const name = preferred();
  await Promise.all([...new Set(["en", name])].map(load));
  speak_in(name);
})();

function speak_in(name) {
  document.documentElement.lang = name;
  language.set(name);
}

export async function choose_language(name) {
  await load(name);
  browser.keep(KEPT, name);
  speak_in(name);
}

// The text of `key`; one that the language lacks is told in English, and one that is nowhere as its key.
export function t(key, values = {}) {
  const found = words[language.get()]?.[key] ?? words.en?.[key] ?? key;
  const text = typeof found === "string" ? found : found[rules().select(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? number(value) : value;
  });
}

// Whether there is a text of this key.
export const has = (key) => key in (words.en ?? {});

// The same, for components that are to be drawn anew when the language changes.
export function useWords() {
  useStore(language);
  return t;
}

const formats = new Map();

function format(kind, options) {
  const name = kind.name + language.get() + JSON.stringify(options);
  if (!formats.has(name)) formats.set(name, new kind(language.get(), options));
  return formats.get(name);
}

const rules = () => format(Intl.PluralRules, {});

export const number = (value, options = {}) => format(Intl.NumberFormat, options).format(value);

// 0..1 as a percentage; a dash for what was not measured.
export const percent = (share, digits = 0) =>
  share === null || share === undefined
    ? "–"
    : number(share, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

export const date = (iso) => format(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));

// "3 minutes ago".
export function ago(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

// "about 2 minutes": how people say how long something takes.
export function duration(seconds) {
  if (seconds < 10) return t("time.moment");
  if (seconds < 55) return t("time.seconds", { count: Math.round(seconds / 5) * 5 });
  if (seconds < 3300) return t("time.minutes", { count: Math.max(1, Math.round(seconds / 60)) });
  return t("time.hours", { count: Math.max(1, Math.round(seconds / 3600)) });
}

export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const shown = value / 1000 ** step;
  return number(shown, { style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: shown < 10 && step ? 1 : 0 });
}
