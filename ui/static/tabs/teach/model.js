// The pictures to teach from, before they are sent: pure functions from one draft to the next.
//
// A draft is {classes, source, dataset_name, adapter_name, test_dataset_id, settings}. A class is {id, number, name,
// pictures}; without a name it is called by its number. A picture is {id, name} and either {key, size, entry?}: a file
// of the visitor's, or an entry of a zip file, kept under `key`; or {dataset_id, position, label}: an image that the
// service has. `rejected` is why the service refused it. source: {id, images: [[position, label]]}, the dataset that
// the boxes were filled from; all images that the service has are of this one.
import { t } from "../../lib/i18n.js";

export const FEWEST = 2; // usable pictures that a class needs
export const GOOD = 16; // with as many a fine-tune mostly goes well

let ids = 0;
const start = Date.now().toString(36); // ids of two visits do not meet, for drafts outlive a visit
export const new_id = () => `${start}-${(ids += 1)}`;

const BARE = { source: null, dataset_name: "", adapter_name: "", test_dataset_id: "", settings: {} };

const empty_class = (number) => ({ id: new_id(), number, name: "", pictures: [] });
const next_number = (classes) => Math.max(0, ...classes.map((one) => one.number)) + 1;

export const empty_draft = () => tidy({ ...BARE, classes: [empty_class(1), empty_class(2)] });

// There is always an empty class at the end, to put pictures into, and there are never fewer than two.
function tidy(draft) {
  const classes = [...draft.classes];
  while (classes.length < 2 || classes.at(-1).pictures.length) classes.push(empty_class(next_number(classes)));
  return { ...draft, classes };
}

export const is_empty = (draft) => draft.classes.every((one) => !one.pictures.length);

// What a class is called: as it is sent too, so without what would make it a path.
export function label_of(one) {
  const name = one.name.normalize("NFC").replace(/[/\\]/g, "-").replace(/[\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "");
  const plain = name.trim().replace(/^\.+/, "").replace(/^([A-Za-z]):/, "$1 ").trim();
  return plain.slice(0, 100) || t("teach.class", { number: one.number });
}

const map_classes = (draft, change) => tidy({ ...draft, classes: draft.classes.map(change) });
const change_class = (draft, id, change) => map_classes(draft, (one) => (one.id === id ? { ...one, ...change(one) } : one));

export const set_fields = (draft, fields) => ({ ...draft, ...fields });
export const rename_class = (draft, id, name) => change_class(draft, id, () => ({ name }));
export const add_class = (draft) => ({ ...draft, classes: [...draft.classes, empty_class(next_number(draft.classes))] });
export const remove_class = (draft, id) => tidy({ ...draft, classes: draft.classes.filter((one) => one.id !== id) });

export const add_pictures = (draft, class_id, pictures) =>
  change_class(draft, class_id, (one) => ({ pictures: [...one.pictures, ...pictures] }));

export const remove_pictures = (draft, chosen) =>
  map_classes(draft, (one) => {
    const pictures = one.pictures.filter((picture) => !chosen.has(picture.id));
    return pictures.length === one.pictures.length ? one : { ...one, pictures };
  });

export function move_pictures(draft, chosen, class_id) {
  const moved = pictures_of(draft).filter((picture) => chosen.has(picture.id));
  return add_pictures(remove_pictures(draft, chosen), class_id, moved);
}

const same_name = (one, other) => one.trim().toLowerCase() === other.trim().toLowerCase();

// groups: [{name, pictures}]. Each goes into the class of this name, else into the first empty box, else into a new one.
export function add_groups(draft, groups) {
  let next = draft;
  for (const { name, pictures } of groups) {
    const free = (one) => !one.pictures.length && !one.name.trim();
    let box = (name && next.classes.find((one) => same_name(label_of(one), name))) || next.classes.find(free);
    if (!box) {
      next = add_class(next);
      box = next.classes.at(-1);
    }
    if (name && !box.name.trim()) next = rename_class(next, box.id, name);
    next = add_pictures(next, box.id, pictures);
  }
  return next;
}

export const pictures_of = (draft) => draft.classes.flatMap((one) => one.pictures);
export const usable = (one) => one.pictures.filter((picture) => !picture.rejected);
export const filled = (draft) => draft.classes.filter((one) => usable(one).length);

// reasons: Map from a picture's id to why it was refused.
export const mark_rejected = (draft, reasons) =>
  map_classes(draft, (one) => ({ ...one, pictures: one.pictures.map((p) => (reasons.has(p.id) ? { ...p, rejected: reasons.get(p.id) } : p)) }));

// A draft of a dataset: its `images` as the interface tells them.
export function of_dataset(dataset, images, fields = {}) {
  const groups = new Map();
  for (const image of images) {
    if (!groups.has(image.label)) groups.set(image.label, []);
    groups.get(image.label).push(stored_picture(dataset.id, image));
  }
  const draft = { ...BARE, ...fields, source: source_of(dataset.id, images), dataset_name: dataset.name, classes: [] };
  return add_groups(draft, [...groups].map(([name, pictures]) => ({ name, pictures })));
}

const source_of = (id, images) => ({ id, images: images.map(({ position, label }) => [position, label]) });
const stored_picture = (dataset_id, { position, label, path }) => ({ id: new_id(), name: path.split("/").at(-1), path, dataset_id, position, label });

// The same draft once it was sent: what the new dataset took is the service's now. sent: Map from a picture's id to the
// path that it has there. What is changed meanwhile stays changed.
export function as_sent(draft, dataset, images, sent) {
  const at = new Map();
  for (const image of images) at.set(image.path, [...(at.get(image.path) ?? []), image]);
  const taken = (picture) => {
    const image = sent.has(picture.id) && at.get(sent.get(picture.id))?.shift();
    return image ? { ...stored_picture(dataset.id, image), id: picture.id } : picture;
  };
  const gone = (picture) => picture.dataset_id && picture.dataset_id !== dataset.id;
  const classes = draft.classes.map((one) => ({ ...one, pictures: one.pictures.map(taken).filter((picture) => !gone(picture)) }));
  return tidy({ ...draft, classes, source: source_of(dataset.id, images) });
}

// What has to be sent: {kind: "same"} where the dataset that it began from is still what is wanted, "revision" with what
// is different from that, or "new". files: [{picture, path}].
export function plan_of(draft) {
  const kept = new Map();
  const files = [];
  const taken = new Set(pictures_of(draft).map((picture) => picture.path));
  for (const one of filled(draft)) {
    const label = label_of(one);
    for (const picture of usable(one)) {
      if (picture.dataset_id) kept.set(picture.position, label);
      else files.push({ picture, path: free_path(`${label}/${safe_name(picture.name)}`, taken) });
    }
  }
  if (!draft.source || !kept.size) return { kind: "new", files };
  const remove = draft.source.images.filter(([position]) => !kept.has(position)).map(([position]) => position);
  const other = draft.source.images.filter(([position, label]) => kept.has(position) && kept.get(position) !== label);
  const relabel = other.map(([position]) => ({ position, label: kept.get(position) }));
  return { kind: files.length || remove.length || relabel.length ? "revision" : "same", files, remove, relabel };
}

const safe_name = (name) => name.replace(/[/\\\u0000-\u001f\u007f\u2028-\u202e\u2066-\u2069]/g, "_").replace(/^\.+/, "").slice(-100) || "picture.jpg";

function free_path(path, taken) {
  const [, begin, ending] = path.match(/^(.*?)(\.[^./]*)?$/s);
  let free = path;
  for (let number = 2; taken.has(free); number += 1) free = `${begin}-${number}${ending ?? ""}`;
  taken.add(free);
  return free;
}

// "cat, dog and 2 more": what a draft is called while nobody calls it something else.
export function name_of(draft) {
  const names = filled(draft).map((one) => label_of(one).slice(0, 40));
  const [first, second, third] = names;
  if (names.length > 3) return t("teach.name.more", { first, second, count: names.length - 2 });
  return t(`teach.name.${names.length}`, { first, second, third });
}

// What is to be done before it can be taught, in words; nothing where it can.
export function missing(draft) {
  const classes = draft.classes.filter((one) => one.pictures.length);
  const few = classes.filter((one) => usable(one).length < FEWEST);
  const names = classes.map((one) => label_of(one).replaceAll("_", " ").trim().toLowerCase());
  const twice = classes.find((one, place) => names.indexOf(names[place]) < place);
  return [
    classes.length < 2 && t("teach.missing.classes", { count: 2 - classes.length }),
    ...few.map((one) => t("teach.missing.pictures", { name: label_of(one), count: FEWEST - usable(one).length })),
    twice && t("teach.missing.twice", { name: label_of(twice) }),
  ].filter(Boolean);
}

// Classes that would be learned better with more pictures.
export const thin = (draft) => filled(draft).filter((one) => usable(one).length >= FEWEST && usable(one).length < GOOD / 2);
