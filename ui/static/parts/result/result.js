// What a fine-tune brought: the verdict large, then where it is wrong, then the rest.
import { html, useState } from "../../lib/preact.js";
import { bytes, duration, useWords } from "../../lib/i18n.js";
import { useAll, useOne } from "../../lib/live.js";
import { Button } from "../button.js";
import { Problem } from "../note.js";
import { Blocks } from "./blocks.js";
import { Changes } from "./changes.js";
import { Classes } from "./classes.js";
import { Curve } from "./curve.js";
import { Matrix } from "./matrix.js";
import { Mistakes } from "./mistakes.js";
import { Bars, Headline, Kept, Measured, Strength, verdict_of } from "./verdict.js";
import { Versions } from "./versions.js";

// adapter: a version, as the interface tells of it, alone or in a list. job: what made it; left out, it is asked for.
// onTaught: called when the next version has been ordered from here.
export function Result({ adapter, job = null, onTaught = () => {} }) {
  const t = useWords();
  const adapter_id = adapter?.id ?? job?.adapter_id ?? null;
  const told = useOne(adapter_id && `/adapters/${adapter_id}`);
  const job_id = job?.id ?? adapter?.job_id ?? null;
  const made_by = useOne(job?.losses || !job_id ? null : `/jobs/${job_id}`);
  if (told.error) return html`<${Problem} error=${told.error} />`;
  if (!told.value) return html`<p role="status">${t("result.reading")}</p>`;
  return html`<${Whole} key=${adapter_id} adapter=${told.value} job=${job?.losses ? job : made_by.value ?? null} onTaught=${onTaught} />`;
}

function Whole({ adapter, job, onTaught }) {
  const t = useWords();
  const { metrics } = adapter;
  const [looking, setLooking] = useState(null);
  const measured = verdict_of(metrics) !== "unmeasured";
  const split = metrics.evaluated_on === "test dataset" ? "test" : "held-out";
  const open = (label, prediction) => setLooking({ split, label, prediction });
  return html`<div class="result">
    <section class="card result-main"><${Headline} metrics=${metrics} />
      ${measured && html`<${Bars} metrics=${metrics} /><${Measured} metrics=${metrics} />`}
      <${Kept} metrics=${metrics} /><${Strength} metrics=${metrics} /><${Rival} adapter=${adapter} /><${Versions} adapter=${adapter} />
      <${MistakesButton} adapter=${adapter} onOpen=${() => setLooking("all")} /></section>
    <${Changes} adapter=${adapter} job=${job} onTaught=${onTaught} />
    ${measured && metrics.confusion && html`<div class="result-pair"><${Classes} metrics=${metrics} /><${Matrix} metrics=${metrics} open=${open} /></div>`}
    <section class="card result-facts"><${Facts} adapter=${adapter} job=${job} /><${Curve} losses=${job?.losses} /><${Blocks} adapter=${adapter} /></section>
    ${looking && html`<${Mistakes} adapter=${adapter} job=${job} filter=${looking === "all" ? null : looking} onClose=${() => setLooking(null)} onTaught=${onTaught} />`}
  </div>`;
}

function MistakesButton({ adapter, onOpen }) {
  const t = useWords();
  const mistakes = useAll(`/adapters/${adapter.id}/mistakes`).value;
  if (!mistakes?.length) return null;
  const taught = mistakes.filter(({ split }) => split === "training").length;
  const is_all = taught === mistakes.length;
  return html`<div class="row"><${Button} onClick=${onOpen}>${t(is_all ? "result.look_taught" : "result.look", { count: mistakes.length })}<//>
    ${taught > 0 && !is_all && html`<span class="hint">${t("result.look_some", { count: taught })}</span>`}</div>`;
}

// How it did beside the version that was published, where that was asked and is not the one before it.
function Rival({ adapter: { metrics, version } }) {
  const t = useWords();
  const found = metrics.comparison;
  if (!found?.images || found.with_version === version - 1) return null;
  return html`<p class="hint">${t("result.rival", { version: found.with_version, right: found.right, other: found.with_right, count: found.images })}</p>`;
}

function Facts({ adapter, job }) {
  const t = useWords();
  const took = job?.started_at && job.finished_at ? (new Date(job.finished_at) - new Date(job.started_at)) / 1000 : null;
  const images = adapter.metrics.train_images;
  return html`<h4>${t("result.facts")}</h4><ul>
    ${images !== undefined && html`<li>${t("result.taught", { count: images })}</li>`}
    <li>${t("result.size", { size: bytes(adapter.delta_bytes) })}</li>
    ${took !== null && html`<li>${t("result.took", { time: duration(took) })}</li>`}</ul>`;
}
