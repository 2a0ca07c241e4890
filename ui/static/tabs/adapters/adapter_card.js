// One name: what answers it, and all of its versions.
import { html, useState } from "../../lib/preact.js";
import { ago, bytes, percent, useWords } from "../../lib/i18n.js";
import { get, post, remove } from "../../lib/api.js";
import { follow_published, search_with, try_adapter, use_adapter } from "../../lib/chosen.js";
import { changed, useOne } from "../../lib/live.js";
import { speak } from "../../lib/speak.js";
import { Button, WorkButton } from "../../parts/button.js";
import { Confirm } from "../../parts/dialog.js";
import { Label } from "../../parts/label.js";
import { Problem } from "../../parts/note.js";
import { is_too_few, verdict_of } from "../../parts/result/verdict.js";
import { Compare } from "./compare.js";

const FEW_CLASSES = 12;

// versions: of this name, newest first.
export function AdapterCard({ name, versions, onOpen }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const answering = versions.find((one) => one.published);
  const shown = answering ?? versions[0];
  return html`<article class="card adapter" aria-label=${name}>
    <div class="row row-apart"><h3>${name}</h3><span class="tag">${answering ? t("adapters.answers", { version: shown.version }) : t("adapters.none_answers")}</span></div>
    <${Facts} version=${shown} />
    <div class="row"><${Button} kind="primary" onClick=${() => try_adapter(shown)}>${t("adapters.try")}<//>
      <${Button} onClick=${() => search_with(shown)}>${t("adapters.search")}<//>
      <${Button} onClick=${() => use_adapter(shown)}>${t("adapters.use")}<//>
      ${shown.job_id && html`<${WorkButton} onError=${setError} work=${() => teach_again(shown, t)}>${t("adapters.teach")}<//>`}
      <${DeleteAll} name=${name} versions=${versions} /></div>
    <${Problem} error=${error} />
    <h4>${t("adapters.versions")}</h4>
    <ol class="versions">${versions.map((one) => html`<${Version} key=${one.id} version=${one} versions=${versions} answering=${answering} onOpen=${onOpen} onError=${setError} />`)}</ol>
    ${versions.length > 1 && html`<${Compare} versions=${versions} />`}
  </article>`;
}

async function teach_again({ name, job_id }, t) {
  const { dataset_id } = await get(`/jobs/${job_id}`);
  if (!dataset_id) throw new Error(t("result.teach_again.gone"));
  const { edit_dataset } = await import("../teach/draft.js");
  await edit_dataset(dataset_id, name);
}

function Facts({ version }) {
  const t = useWords();
  const { metrics, classes } = version;
  const names = html`<ul class="classes-of">${classes.map((label) => html`<li key=${label}><${Label} text=${label} /></li>`)}</ul>`;
  return html`<div class="adapter-facts">${metrics?.test_images > 0 && html`<p class="adapter-share ${is_too_few(metrics) ? "adapter-unsure" : ""}"><strong>${percent(metrics.accuracy)}</strong>
      <span>${t("adapters.right", { right: metrics.right, count: metrics.test_images })}${is_too_few(metrics) && html` · ${t("adapters.too_few")}`}</span></p>`}
    <p class="hint">${t("adapters.facts", { count: classes.length, when: ago(version.created_at) })}</p>
    ${classes.length > FEW_CLASSES ? html`<details><summary>${t("adapters.classes", { count: classes.length })}</summary>${names}</details>` : names}</div>`;
}

function Version({ version, versions, answering, onOpen, onError }) {
  const t = useWords();
  const { metrics, published } = version;
  const measured = metrics?.test_images > 0;
  const words = { version: version.version, name: version.name };
  const back = answering && version.version < answering.version;
  const publish = async () => {
    await post(`/adapters/${version.id}/publish`);
    follow_published(version.name, versions);
    changed("/adapters");
    speak(t("adapters.published_now", words));
  };
  return html`<li class="version" aria-label=${t("adapters.version", words)}><div class="version-words">
      <strong>${t("adapters.version", words)}</strong> ${published && html`<span class="tag">${t("adapters.published")}</span>`}
      <span>${t(`adapters.verdict.${verdict_of(metrics)}`)}${measured && html` · ${t("adapters.right", { right: metrics.right, count: metrics.test_images })}`}</span>
      <span class="hint">${ago(version.created_at)} · ${bytes(version.delta_bytes)}</span>
      ${!published && answering && !back && html`<${NotPublished} version=${version} />`}</div>
    <div class="row version-tools"><${Button} onClick=${() => onOpen(version.id)} aria-label=${t("adapters.open_this", words)}>${t("adapters.open")}<//>
      ${!published && html`<${WorkButton} work=${publish} onError=${onError} aria-label=${t(back ? "adapters.roll_back_this" : "adapters.publish_this", words)}>${t(back ? "adapters.roll_back" : "adapters.publish")}<//>
        <${DeleteVersion} version=${version} />`}</div></li>`;
}

// Why a newer version does not answer: it was to be better than the one that does.
function NotPublished({ version }) {
  const t = useWords();
  const found = useOne(`/adapters/${version.id}`).value?.metrics.comparison;
  if (!found?.images || found.right > found.with_right) return html`<span class="hint">${t("adapters.not_yet")}</span>`;
  const key = found.right < found.with_right ? "adapters.not_better" : "adapters.not_other";
  return html`<span class="hint">${t(key, { version: found.with_version, right: found.right, other: found.with_right, count: found.images })}</span>`;
}

function DeleteVersion({ version }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const words = { version: version.version, name: version.name };
  const work = async () => {
    await remove(`/adapters/${version.id}`);
    changed("/adapters", "/usage");
  };
  return html`<${Button} kind="quiet" onClick=${() => setAsking(true)} aria-label=${t("adapters.delete_this", words)}>${t("adapters.delete")}<//>
    ${asking && html`<${Confirm} title=${t("adapters.delete_this", words)} words=${t("adapters.delete_version.words")} yes=${t("adapters.delete")} work=${work} onClose=${() => setAsking(false)} />`}`;
}

// Version by version, the one that answers last: a name may have characters that no path can carry.
function DeleteAll({ name, versions }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const work = async () => {
    for (const { id } of [...versions].sort((one, other) => one.published - other.published)) await remove(`/adapters/${id}`);
    changed("/adapters", "/usage");
  };
  return html`<${Button} kind="quiet" class="button button-quiet adapter-delete" onClick=${() => setAsking(true)} aria-label=${t("adapters.delete_all", { name })}>${t("adapters.delete")}<//>
    ${asking && html`<${Confirm} title=${t("adapters.delete_all", { name })} words=${t("adapters.delete_all.words", { count: versions.length })}
      yes=${t("adapters.delete")} work=${work} onClose=${() => setAsking(false)} />`}`;
}
