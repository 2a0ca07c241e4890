// What the visitor wants different about a version's pictures, collected until it is taught again with them.
import { html, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { speak } from "../../lib/speak.js";
import { store, useStore } from "../../lib/store.js";
import { revise, teach } from "../../lib/teaching.js";
import { Button, WorkButton } from "../button.js";
import { Confirm } from "../dialog.js";
import { Problem } from "../note.js";
import { Thumbnail, dataset_thumbnail } from "../picture.js";

// By the adapter's id: pictures {dataset_id, position, path, label}, each with the class `to` that it belongs to, or null.
const wanted = store({});

export const key_of = (picture) => `${picture.dataset_id}/${picture.position}`;
export const useChanges = (adapter_id) => useStore(wanted)[adapter_id] ?? [];

const write = (adapter_id, made) => wanted.set((before) => ({ ...before, [adapter_id]: made(before[adapter_id] ?? []) }));

// Moves pictures to the class `to`, or takes them out where it is null. To where one is already, changes nothing.
export function change(adapter_id, pictures, to) {
  const keys = new Set(pictures.map(key_of));
  const added = pictures.filter((picture) => picture.label !== to).map((picture) => ({ ...picture, to }));
  write(adapter_id, (before) => [...before.filter((one) => !keys.has(key_of(one))), ...added]);
}

const undo = (adapter_id, picture) => write(adapter_id, (before) => before.filter((one) => key_of(one) !== key_of(picture)));
const undo_all = (adapter_id) => write(adapter_id, () => []);

// Revisions that were made but not taught yet: trying once more after an error makes none twice.
const made = new Map();

async function revision(dataset_id, changes) {
  const relabel = changes.filter(({ to }) => to !== null).map(({ position, to }) => ({ position, label: to }));
  const remove = changes.filter(({ to }) => to === null).map(({ position }) => position);
  const key = JSON.stringify([dataset_id, remove, relabel]);
  if (!made.has(key)) made.set(key, await revise(dataset_id, { remove, relabel }));
  return made.get(key);
}

// The datasets that the changes concern, as new ones: {old id: revision}.
async function revisions(changes) {
  const found = {};
  for (const { dataset_id } of changes) {
    found[dataset_id] ??= await revision(dataset_id, changes.filter((one) => one.dataset_id === dataset_id));
  }
  return found;
}

// The next version, with the settings of the job that made this one.
async function next_version(adapter, job, revised) {
  const id = (dataset_id) => revised[dataset_id]?.id ?? dataset_id;
  const test = job.test_dataset_id ? { test_dataset_id: id(job.test_dataset_id) } : {};
  try {
    await teach(adapter.name, id(job.dataset_id), { ...test, config: job.config, publish: job.publish });
  } catch (error) {
    if (error.status === 404) made.clear(); // somebody deleted one of them
    throw error;
  }
  made.clear();
  undo_all(adapter.id);
  const { follow_revisions } = await import("../../tabs/teach/corrected.js");
  await follow_revisions(revised);
}

let ids = 0;

// The list of changes, each of which can be undone, and what makes a version of them.
export function Changes({ adapter, job, onTaught = () => {} }) {
  const t = useWords();
  const changes = useChanges(adapter.id);
  const id = useRef(`changes-${(ids += 1)}`).current; // it may be on the page and in a dialog at once
  const [error, setError] = useState(null);
  const [left_out, setLeftOut] = useState(null);
  if (!changes.length) return null;
  const go = async (revised) => {
    await next_version(adapter, job, revised);
    onTaught();
  };
  const again = async () => {
    setError(null);
    const revised = await revisions(changes);
    const files = Object.values(revised).flatMap(({ rejected }) => rejected);
    if (files.length) setLeftOut({ files, revised });
    else await go(revised);
  };
  return html`<section class="changes" aria-labelledby=${id}><h3 id=${id}>${t("result.changes", { count: changes.length })}</h3>
    <ul>${changes.map((one) => html`<${Change} key=${key_of(one)} adapter=${adapter} change=${one} />`)}</ul>
    <${Problem} error=${error} />
    <div class="row"><${WorkButton} kind="primary" work=${again} onError=${setError} disabled=${!job?.dataset_id}>${t("result.teach_again")}<//>
      <${Button} kind="quiet" onClick=${() => undo_all(adapter.id)}>${t("result.undo_all")}<//></div>
    <p class="hint">${t(job?.dataset_id ? "result.teach_again.hint" : "result.teach_again.gone")}</p>
    ${left_out && html`<${Confirm} title=${t("result.left_out")} words=${left_out.files.map(({ path, reason }) => `${path}: ${reason}`).join(" ")}
      yes=${t("result.left_out.yes")} work=${() => go(left_out.revised)} onClose=${() => setLeftOut(null)} />`}
  </section>`;
}

function Change({ adapter, change: { to, ...picture } }) {
  const t = useWords();
  const words = to === null ? t("result.change.out", { label: picture.label }) : t("result.change.moved", { label: picture.label, to });
  const take_back = () => {
    undo(adapter.id, picture);
    speak(t("result.undone"));
  };
  return html`<li><${Thumbnail} src=${dataset_thumbnail(picture.dataset_id, picture.position, 64)} alt="" name=${picture.path} />
    <span class="changes-words"><strong>${words}</strong><br /><span class="hint">${picture.path}</span></span>
    <${Button} kind="quiet" onClick=${take_back} aria-label=${t("result.undo_this", { path: picture.path })}>${t("result.undo")}<//></li>`;
}
