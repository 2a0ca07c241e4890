// The pictures that adapters are taught with and tested on.
import { html, useState } from "../../lib/preact.js";
import { ago, useWords } from "../../lib/i18n.js";
import { remove } from "../../lib/api.js";
import { changed, useAll } from "../../lib/live.js";
import { Button, WorkButton } from "../../parts/button.js";
import { Confirm } from "../../parts/dialog.js";
import { Problem } from "../../parts/note.js";
import { Thumbnail, dataset_thumbnail } from "../../parts/picture.js";
import { ClassPictures, begins } from "./class_pictures.js";

const PREVIEWS = 5; // classes of which a picture is shown

export function Datasets() {
  const t = useWords();
  const { value, error, state } = useAll("/datasets");
  return html`<section class="stack" aria-labelledby="saft-datasets-title"><h2 id="saft-datasets-title">${t("datasets.title")}</h2>
    <p class="hint">${t("datasets.hint")}</p><${Problem} error=${error} />
    ${state === "reading" && !value && html`<p role="status">${t("adapters.reading")}</p>`}
    ${value && !value.length && html`<div class="empty"><p>${t("datasets.none")}</p></div>`}
    <ul class="datasets">${(value ?? []).map((one) => html`<${Dataset} key=${one.id} dataset=${one} datasets=${value} />`)}</ul></section>`;
}

function Dataset({ dataset, datasets }) {
  const t = useWords();
  const [looking, setLooking] = useState(false);
  const [error, setError] = useState(null);
  const { id, name, classes, image_count, revision_of, created_at } = dataset;
  const parent = datasets.find((one) => one.id === revision_of);
  const words = { name };
  const edit = async () => (await import("../teach/draft.js")).edit_dataset(id);
  return html`<li class="card dataset"><div><h3>${name}</h3>
      <p class="hint">${t("datasets.pictures", { count: image_count })} · ${t("datasets.classes", { count: classes.length })} · ${ago(created_at)}</p>
      ${revision_of && html`<p class="hint">${parent ? t("datasets.revision", { name: parent.name, when: ago(parent.created_at) }) : t("datasets.revision_gone")}</p>`}</div>
    <div class="previews" aria-hidden="true">${classes.slice(0, PREVIEWS).map((one, place) => html`<${Thumbnail} key=${one.name} alt="" name=${one.name} src=${dataset_thumbnail(id, begins(classes, place), 96)} />`)}</div>
    <div class="row"><${Button} onClick=${() => setLooking(true)} aria-label=${t("datasets.look_this", words)}>${t("datasets.look")}<//>
      <${WorkButton} work=${edit} onError=${setError} aria-label=${t("datasets.change_this", words)}>${t("datasets.change")}<//>
      <${DeleteDataset} dataset=${dataset} /></div>
    <${Problem} error=${error} />
    ${looking && html`<${ClassPictures} dataset=${dataset} onClose=${() => setLooking(false)} />`}</li>`;
}

function DeleteDataset({ dataset: { id, name, image_count } }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const work = async () => {
    await remove(`/datasets/${id}`);
    changed("/datasets", "/adapters", "/usage"); // the mistakes on its pictures go with them
  };
  return html`<${Button} kind="quiet" onClick=${() => setAsking(true)} aria-label=${t("datasets.delete_this", { name })}>${t("adapters.delete")}<//>
    ${asking && html`<${Confirm} title=${t("datasets.delete_this", { name })} words=${t("datasets.delete.words", { count: image_count })} yes=${t("adapters.delete")} work=${work} onClose=${() => setAsking(false)} />`}`;
}
