// From the boxes to a fine-tune: what is new is sent, a dataset or a revision of one is made, and it is taught.
import { all, upload } from "../../lib/api.js";
import { has, t } from "../../lib/i18n.js";
import { changed } from "../../lib/live.js";
import { store } from "../../lib/store.js";
import { revise, teach } from "../../lib/teaching.js";
import { amend, draft, file_of, replace } from "./draft.js";
import { as_sent, mark_rejected, name_of, pictures_of, plan_of, set_fields } from "./model.js";

// What is under way: null, or {what: "layout" or "pictures", share, total (bytes), stop}.
export const sending = store(null);

// Settings as the interface takes them: what is left empty is the base's own.
const NUMBERS = ["epochs", "learning_rate", "batch_size", "density", "seed"];

export function config_of(settings) {
  const given = Object.entries(settings).filter(([, value]) => String(value).trim() !== "");
  return Object.fromEntries(given.map(([name, value]) => [name, NUMBERS.includes(name) ? Number(String(value).replace(",", ".")) : value]));
}

// adapter_name: what it is called unless the draft says so. Throws what the interface answers; the draft stays as it was.
export async function teach_draft(adapter_name) {
  const now = draft.get();
  const plan = plan_of(now);
  const name = now.adapter_name.trim() || adapter_name;
  const dataset_name = now.dataset_name.trim() || name_of(now);
  try {
    const dataset = await dataset_of(now, plan, dataset_name);
    mark(dataset.rejected, plan);
    const more = { config: config_of(now.settings), ...(now.test_dataset_id && { test_dataset_id: now.test_dataset_id }) };
    await teach(name, dataset.id, more);
    if (plan.kind !== "same") await settle(dataset, plan).catch(() => {});
    amend((latest) => set_fields(latest, { adapter_name: name, dataset_name }));
  } catch (error) {
    mark(error.rejected ?? [], plan);
    throw error;
  }
}

async function dataset_of(now, plan, name) {
  const changes = { name, remove: plan.remove, relabel: plan.relabel };
  if (plan.kind === "same") return { id: now.source.id, rejected: [] };
  if (plan.kind === "revision" && !plan.files.length) return revise(now.source.id, changes);
  const path = plan.kind === "new" ? "/datasets" : `/datasets/${now.source.id}/revisions`;
  const field = plan.kind === "new" ? ["name", name] : ["changes", JSON.stringify(changes)];
  const made = await send_files(path, field, plan.files);
  changed("/datasets", "/usage");
  return made;
}

async function send_files(path, [field, value], files) {
  const stop = new AbortController();
  const total = files.reduce((sum, { picture }) => sum + picture.size, 0);
  const progress = (share) => sending.set({ what: "pictures", share, total, stop: () => stop.abort() });
  progress(0);
  try {
    const form = new FormData();
    form.append(field, value);
    for (const { picture, path: as } of files) {
      form.append("files", await readable(picture), as);
      stop.signal.throwIfAborted();
    }
    return await upload(path, form, { progress, signal: stop.signal });
  } finally {
    sending.set(null);
  }
}

async function readable(picture) {
  try {
    return await file_of(picture);
  } catch (error) {
    if (!has(`teach.${error.code}`)) throw error;
    throw Object.assign(new Error(t("teach.unreadable", { name: picture.name, reason: t(`teach.${error.code}`) })), { code: error.code });
  }
}

// Files that the service refused are marked in their boxes.
function mark(rejected, plan) {
  const at = new Map(plan.files.map(({ picture, path }) => [path, picture.id]));
  const reasons = new Map(rejected.filter(({ path }) => at.has(path)).map(({ path, reason }) => [at.get(path), reason]));
  if (reasons.size) amend((now) => mark_rejected(now, reasons));
}

// What was sent is the service's now, and need not be kept here. Where that cannot be read the files stay, and are sent
// again by the next fine-tune: no fault of this one.
async function settle(dataset, plan) {
  const images = await all(`/datasets/${dataset.id}/images`);
  const now = draft.get();
  const sent = new Map(plan.files.map(({ picture, path }) => [picture.id, path]));
  for (const picture of pictures_of(now)) if (picture.dataset_id) sent.set(picture.id, picture.path);
  replace(as_sent(now, dataset, images, sent));
}
