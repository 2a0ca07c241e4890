// The draft of this visitor: one for the whole page, with steps to undo, kept in the browser until it is sent.
import { all, get, is_final } from "../../lib/api.js";
import { drop_value, keep_files, keep_only, keep_value, kept_files, kept_here } from "../../lib/keep.js";
import { session } from "../../lib/session.js";
import { store } from "../../lib/store.js";
import { open_tab } from "../../lib/tabs.js";
import { watch_nothing, watched } from "../../lib/teaching.js";
import { unzip } from "../../lib/zip.js";
import { example } from "./example.js";
import { empty_draft, is_empty, new_id, of_dataset, pictures_of } from "./model.js";
import { as_kept, name_of_slot, stay_in, take_slot } from "./slot.js";

const STEPS = 100; // that can be undone
const KEEP_MS = 400; // between two writes; the first of several changes is written at once

export const draft = store(null); // null until it is known what was kept
export const past = store([]);
export const selected = store(new Set()); // ids of pictures

const files = new Map(); // by key: handles of files, not their bytes
let joined = null;
let timer = null;
let kept_at = -KEEP_MS; // by performance.now()
let whose = null; // the visitor that all of this is of
let slot = null; // where it is kept
let is_own = false; // whether the slot is this tab's, also after a reload
let is_kept = true; // as it is now

// change: from one draft to the next. What has the same `join` as the change before is undone together with it.
export function change(how, join = null) {
  const before = draft.get();
  const next = how(before);
  if (next === before) return;
  if (!join || join !== joined) past.set((steps) => [...steps.slice(1 - STEPS), before]);
  joined = join;
  show(next);
}

// A change that is no step of the visitor's.
export const amend = (how) => show(how(draft.get()));

export function undo() {
  const steps = past.get();
  if (!steps.length) return;
  joined = null;
  past.set(steps.slice(0, -1));
  show(steps.at(-1));
}

// In place of all that was: nothing before it can be undone, and files that it does not need are let go.
export function replace(next) {
  joined = null;
  past.set([]);
  show(next);
  const keys = keys_of(next);
  for (const key of files.keys()) if (!keys.has(key)) files.delete(key);
  keep().then(() => keep_only(`${slot}/`, (key) => files.has(key))); // a reload between the two finds files too many, never too few
}

const keys_of = (one) => new Set(pictures_of(one).map((picture) => picture.key).filter(Boolean));

function show(next) {
  const there = new Set(pictures_of(next).map((picture) => picture.id));
  selected.set((ids) => ([...ids].every((id) => there.has(id)) ? ids : new Set([...ids].filter((id) => there.has(id)))));
  draft.set(next);
  is_kept = false;
  clearTimeout(timer);
  timer = setTimeout(keep, Math.max(0, kept_at + KEEP_MS - performance.now()));
}

async function keep() {
  const now = draft.get();
  if (is_kept || !slot || whose !== session.get().who) return;
  is_kept = true;
  kept_at = performance.now();
  const is_nothing = is_empty(now) && !now.source && !(is_own && now.classes.some(({ name }) => name.trim()));
  await (is_nothing ? drop_value(name_of_slot(slot)) : keep_value(name_of_slot(slot), as_kept(now)));
  if (is_nothing || is_own || !kept_here.get()) return;
  is_own = true;
  await stay_in(slot);
}

document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && keep());

// To be called once, when the visitor is known: what was in the boxes before, in place of what they show.
export async function find_draft(shown = null) {
  const { who } = session.get();
  if (who !== whose) forget(who);
  if (draft.get() !== shown) return;
  const found = await take_slot();
  const kept = found?.draft ?? empty_draft();
  const keys = [...keys_of(kept)];
  const there = found && (await kept_files(keys));
  if (draft.get() !== shown || who !== session.get().who) return;
  if (there) show_kept(found.slot, kept, new Map(keys.map((key, place) => [key, there[place]])));
  else if (!shown) show_new();
  if (there) await keep_only(`${slot}/`, (key) => files.has(key));
}

function show_kept(where, kept, found) {
  for (const [key, file] of found) if (file) files.set(key, file);
  const is_here = (picture) => !picture.key || files.has(picture.key);
  [slot, is_own] = [where, true];
  draft.set({ ...kept, classes: kept.classes.map((one) => ({ ...one, pictures: one.pictures.filter(is_here) })) });
}

// The browser does not say what it kept. In a new slot: the old one may hold a draft, which nothing may be written over.
function show_new() {
  [slot, is_own] = [new_id(), false];
  draft.set(empty_draft());
}

// The browser has opened its database after all, or anew: what it kept comes into boxes in which nothing was put; what
// was put in is kept beside it, for this tab, and the next tab finds the other.
async function find_late() {
  const now = draft.get();
  if (!now || whose !== session.get().who) return;
  const is_untouched = is_empty(now) && !now.source && !past.get().length;
  if (is_untouched) await find_draft(now);
  if (is_untouched && (is_own || is_empty(draft.get()))) return;
  await keep_files([...files]);
  is_kept = false;
  await keep();
}

kept_here.listen((keeps) => keeps && find_late());
session.listen(({ who }) => who && who !== whose && forget(who)); // before anything is drawn for who comes next

// Somebody else is there: nothing of the one before may be seen, or kept as theirs.
function forget(who) {
  whose = who;
  slot = null;
  is_own = false;
  is_kept = true;
  clearTimeout(timer);
  files.clear();
  for (const [shared, nothing] of [[draft, null], [past, []], [selected, new Set()], [example, null]]) shared.set(nothing);
}

// Files of the visitor's as pictures: [{name, file}] or, of a zip file, [{name, file: the zip, entry}].
export function pictures_from(found) {
  const keys = new Map();
  const made = found.map(({ name, file, entry }) => {
    if (!keys.has(file)) keys.set(file, `${slot}/${new_id()}`);
    return { id: new_id(), name, key: keys.get(file), size: entry?.size ?? file.size, ...(entry && { entry }) };
  });
  for (const [file, key] of keys) files.set(key, file);
  keep_files([...keys].map(([file, key]) => [key, file]));
  return made;
}

// The file of a picture. Throws ZipError.
export async function file_of({ key, entry, name }) {
  const file = files.get(key);
  return entry ? new File([await unzip(file, entry)], name) : file;
}

// Fills the boxes with the pictures of a dataset, to change them and teach again under `adapter_name`.
export async function edit_dataset(dataset_id, adapter_name = "") {
  const [dataset, images] = await Promise.all([get(`/datasets/${dataset_id}`), all(`/datasets/${dataset_id}/images`)]);
  await find_draft();
  change(() => of_dataset(dataset, images, { adapter_name }));
  if (watched.get() && is_final(watched.get())) watch_nothing();
  example.set(null);
  open_tab("teach");
}

// Takes everything out of the boxes; can be undone.
export const start_over = () => change((now) => (is_empty(now) && !now.source ? now : empty_draft()));
