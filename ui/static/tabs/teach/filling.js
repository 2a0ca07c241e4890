// From what visitors drop and choose to pictures in boxes: loose pictures, folders, zips, and layouts that the service knows.
import { all, upload } from "../../lib/api.js";
import { hidden, is_picture, is_zip } from "../../lib/files.js";
import { has, t } from "../../lib/i18n.js";
import { speak } from "../../lib/speak.js";
import { store } from "../../lib/store.js";
import { changed } from "../../lib/live.js";
import { read_zip } from "../../lib/zip.js";
import { change, draft, pictures_from } from "./draft.js";
import { add_class, add_groups, add_pictures, is_empty, of_dataset, rename_class } from "./model.js";
import { sending } from "./sending.js";

const MOST = 25_000; // pictures of one dataset
const SPLITS = /^(train|training|valid|val|validation|dev|test|testing|eval|holdout)$/i;
const LABELS = /\.(csv|tsv|jsonl?)$/i;

// What was done with the latest drop, in words: [{kind, text}].
export const told = store([]);
const say = (notes) => {
  told.set(notes);
  if (notes.length) speak(notes.map((note) => note.text).join(" "));
};

// found: [{path, file}], as files.js gives them. class_id: the box that they were dropped into, or null.
export async function fill(found, class_id = null) {
  say([]);
  try {
    const zips = found.filter(({ file }) => is_zip(file));
    const inside = (await Promise.all(zips.map(({ file }) => entries_of(file)))).flat();
    const files = [...found.filter(({ file }) => !is_zip(file)), ...inside];
    const is_one = !zips.length || (zips.length === 1 && files.length === inside.length);
    if (is_one && is_for_service(files)) return await send_whole(files, zips);
    put(files, class_id);
  } catch (error) {
    const words = has(`teach.${error.code}`) ? t(`teach.${error.code}`) : error.message;
    if (error.name !== "AbortError") say([{ kind: "bad", text: words }, ...(error.rejected ?? []).slice(0, 5).map((one) => ({ kind: "bad", text: `${one.path}: ${one.reason}` }))]);
  }
}

async function entries_of(zip) {
  const entries = await read_zip(zip);
  return entries.filter(({ path }) => !hidden(path)).map((entry) => ({ path: entry.path, file: zip, entry }));
}

const is_image = ({ path, file, entry }) => is_picture(entry ? { name: path, type: "" } : file);

// Folders named after what they are for, or a file that tells the labels: the service knows these layouts.
function is_for_service(files) {
  const images = files.filter(is_image);
  const folders = new Set(classes_of(images).flatMap(({ path }) => path));
  const tells = files.some(({ path }) => LABELS.test(path)) && folders.size < 2;
  const tops = [...new Set(images.map(({ path }) => path.split("/")).filter((parts) => parts.length > 2).map((parts) => parts.at(-3)))];
  return images.length > 0 && (tells || (tops.length > 1 && tops.every((top) => SPLITS.test(top))));
}

// The folders that hold pictures, each once: [{name, path, files}]; loose ones are of path "".
function classes_of(images) {
  const folders = new Map();
  for (const image of images) {
    const folder = image.path.split("/").slice(0, -1).join("/");
    if (!folders.has(folder)) folders.set(folder, []);
    folders.get(folder).push(image);
  }
  const last = (path) => path.split("/").at(-1);
  const names = [...folders.keys()].map(last);
  const are_names = new Set(names).size === names.length;
  return [...folders].map(([path, files]) => ({ name: are_names ? last(path) : first_other(path, [...folders.keys()]), path, files }));
}

// Of cat/images and dog/images "cat" and "dog": the first folder that is not around all of them.
function first_other(path, paths) {
  const parts = path.split("/");
  const at = parts.findIndex((part, depth) => paths.some((other) => other.split("/")[depth] !== part));
  return parts[Math.max(0, at)];
}

function put(files, asked_for) {
  const class_id = draft.get().classes.some(({ id }) => id === asked_for) ? asked_for : null; // other boxes may be there by now
  const images = files.filter(is_image);
  const groups = classes_of(images.slice(0, MOST));
  const made = groups.map(({ name, path, files: own }) => ({ name: path && name, pictures: pictures_from(own.map(with_name)) }));
  if (class_id && groups.length <= 1) put_into(class_id, made);
  else if (class_id) change((now) => add_groups(now, made.map((group) => ({ ...group, name: group.name || own_name(now, class_id) }))));
  else change((now) => add_groups(made.some(({ name }) => !name) ? with_room(now) : now, made));
  say(words_on(images.length, files.length, made, class_id));
}

const with_name = ({ path, file, entry }) => ({ name: named(path.split("/").at(-1), file.type), file, entry });
const named = (name, type) => (/\.[a-z0-9]{2,5}$/i.test(name) || !type.startsWith("image/") ? name : `${name}.${type.slice(6)}`);
const own_name = (now, class_id) => now.classes.find((one) => one.id === class_id)?.name ?? "";
const with_room = (now) => (now.classes.some((one) => !one.pictures.length && !one.name.trim()) ? now : add_class(now));

function put_into(class_id, [group]) {
  if (!group) return;
  change((now) => {
    const is_unnamed = !own_name(now, class_id).trim();
    return add_pictures(group.name && is_unnamed ? rename_class(now, class_id, group.name) : now, class_id, group.pictures);
  });
}

function words_on(images, files, made, class_id) {
  const notes = [];
  const other = files - images;
  const loose = made.find(({ name }) => !name);
  if (!images) return [{ kind: "warn", text: t("teach.no_pictures") }];
  if (made.length > 1) notes.push({ kind: "good", text: t("teach.filled", { count: Math.min(images, MOST), classes: made.length }) });
  else if (loose && !class_id) notes.push({ kind: "info", text: t("teach.loose", { count: images }) });
  if (other) notes.push({ kind: "warn", text: t("teach.other_files", { count: other }) });
  if (images > MOST) notes.push({ kind: "warn", text: t("teach.too_many", { count: MOST }) });
  return notes;
}

// The service reads the layout; the boxes show what it made of it. What is in them already stays only as files.
async function send_whole(files, zips) {
  const stop = new AbortController();
  const form = new FormData();
  form.append("name", name_for(files, zips));
  if (zips.length === 1) form.append("archive", zips[0].file, zips[0].file.name);
  else for (const { path, file } of files) form.append("files", file, path);
  const total = files.reduce((sum, { file, entry }) => sum + (entry?.packed ?? file.size), 0);
  const progress = (share) => sending.set({ what: "layout", share, total, stop: () => stop.abort() });
  progress(0);
  try {
    const dataset = await upload("/datasets", form, { progress, signal: stop.signal });
    const images = await all(`/datasets/${dataset.id}/images`, { signal: stop.signal });
    changed("/datasets", "/usage");
    show_dataset(dataset, images);
  } finally {
    sending.set(null);
  }
}

function name_for(files, zips) {
  const name = zips.length ? zips[0].file.name.replace(/\.zip$/i, "") : files[0].path.split("/")[0];
  return name.slice(0, 150) || t("teach.pictures");
}

function show_dataset(dataset, images) {
  const had_some = !is_empty(draft.get());
  change(() => of_dataset(dataset, images, { test_dataset_id: dataset.test_dataset_id ?? "" }));
  const notes = [{ kind: "good", text: t("teach.filled", { count: images.length, classes: dataset.classes.length }) }];
  if (dataset.test_dataset_id) notes.push({ kind: "info", text: t("teach.with_test") });
  if (had_some) notes.push({ kind: "warn", text: t("teach.replaced") });
  say(dataset.rejected.length ? [...notes, { kind: "warn", text: t("rejected.count", { count: dataset.rejected.length }), rejected: dataset.rejected }] : notes);
}
