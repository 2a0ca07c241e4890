// Use it elsewhere: code to copy, and the adapter as a file.
import { browser } from "../../lib/storage.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { useAll, useOne } from "../../lib/live.js";
import { page_url } from "../../lib/session.js";
import { AdapterSelect, called, useAdapter } from "../../parts/adapter_select.js";
import { labels_of, typed_labels } from "../../parts/answers/question.js";
import { Field, Select } from "../../parts/field.js";
import { place_options, usePlaces } from "../search/places.js";
import { Code } from "./code.js";
import { Downloads } from "./downloads.js";
import { Key } from "./key.js";
import { LANGUAGES, TASKS, search_text, snippet, some_labels } from "./snippets.js";

const KEPT = "saft-code-language";
const service = () => page_url("").replace(/[?#].*$/, "").replace(/\/+$/, "");

// The dataset that the adapter learnt from, else the newest one, else null.
function useDataset(adapter, places) {
  const job = useOne(adapter?.job_id ? `/jobs/${adapter.job_id}` : null).value;
  const datasets = places.filter((place) => place.kind === "dataset");
  return (datasets.find((place) => place.id === job?.dataset_id) ?? datasets[0])?.id ?? null;
}

export function Use() {
  const t = useWords();
  const { adapter } = useAdapter();
  const { places } = usePlaces();
  const [task, setTask] = useState("classify");
  const [language, setLanguage] = useState(browser.kept(KEPT) in LANGUAGES ? browser.kept(KEPT) : "curl");
  const [typed, setTyped] = useState({}); // what was typed in place of what stands there by itself
  const [wanted, setWanted] = useState(null);
  const [key, setKey] = useState({ made: null, written: false });
  const keys = useAll("/keys").value;
  // One that was made here and revoked since opens nothing any more.
  useEffect(() => {
    if (key.made && keys && key.listed && !keys.some(({ id }) => id === key.id)) setKey({ made: null, written: false });
    else if (key.made && !key.listed && keys?.some(({ id }) => id === key.id)) setKey((now) => ({ ...now, listed: true }));
  }, [keys, key]);
  const dataset_id = useDataset(adapter, places);
  const full = places.filter((one) => one.count);
  const place = full.find((one) => one.key === wanted) ?? full[0] ?? null;
  const labels = typed.labels ?? typed_labels(some_labels(adapter));
  const text = typed.text ?? search_text(adapter);
  const set = (name) => (value) => setTyped((before) => ({ ...before, [name]: value }));
  const example = {
    url: service(), key: key.written ? key.made : "", adapter: adapter ? called(adapter) : "base", dataset_id, place,
    labels: typed.labels !== undefined && labels_of(labels).length ? labels_of(labels) : some_labels(adapter), text: text.trim() || search_text(adapter),
  };
  const speak_in = (name) => (browser.keep(KEPT, name), setLanguage(name));
  return html`<h2 class="heard">${t("tab.use")}</h2><div class="stack">
    <section class="card stack" aria-labelledby="saft-code-title"><h3 id="saft-code-title">${t("use.code")}</h3><p class="hint">${t("use.code_words")}</p>
      <${Choice} label=${t("use.task")} name="saft-task" options=${TASKS.map((one) => [one, t(`use.task_${one}`)])} value=${task} onInput=${setTask} />
      <div class="use-fields"><${AdapterSelect} label=${t("use.adapter")} />
        ${task === "own_labels" && html`<${Field} label=${t("use.labels")} hint=${t("use.labels_hint")} value=${labels} onInput=${set("labels")} />`}
        ${["search", "embed"].includes(task) && html`<${Field} label=${t("use.text")} value=${text} maxlength=${300} onInput=${set("text")} />`}
        ${task === "search" && full.length > 0 && html`<${Select} label=${t("search.where")} value=${place.key} onInput=${setWanted}
          options=${place_options(t, full)} />`}</div>
      <${Choice} label=${t("use.language")} name="saft-code-language" options=${Object.entries(LANGUAGES)} value=${language} onInput=${speak_in} />
      <${Code} code=${snippet(language, task, example)} language=${language} label=${t("use.code_label", { task: t(`use.task_${task}`), language: LANGUAGES[language] })} />
      <p class="hint">${t(language === "python" && task === "embed" ? "use.openai_words" : `use.${language}_words`)}</p>
      <${Key} made=${key.made} onMade=${(made, id) => setKey({ made, id, listed: false, written: false })} written=${key.written} onWritten=${(written) => setKey({ ...key, written })} />
    </section>
    <section class="card stack" aria-labelledby="saft-files-title"><h3 id="saft-files-title">${t("use.files", { name: example.adapter })}</h3>
      <${Downloads} adapter=${adapter} /></section>
    <section class="card stack" aria-labelledby="saft-more-title"><h3 id="saft-more-title">${t("use.reference")}</h3>
      <p>${t("use.reference_words")}</p><div class="row"><a class="button" href=${page_url("docs")} target="_blank" rel="noopener">${t("use.reference_link")}</a>
      <a class="button" href=${page_url("openapi.json")} target="_blank" rel="noopener">OpenAPI</a></div></section>
  </div>`;
}

// One of a few, as a row of buttons.
function Choice({ label, name, options, value, onInput }) {
  return html`<fieldset class="choice"><legend>${label}</legend><div class="choice-row">${options.map(([key, text]) => html`<label key=${key} class=${key === value ? "on" : ""}>
    <input type="radio" name=${name} value=${key} checked=${key === value} onChange=${() => onInput(key)} /> <span>${text}</span></label>`)}</div></fieldset>`;
}
