// The fine-tune that is watched: how far it is, what is known already, and how it ended.
import { html, useEffect, useState } from "../../lib/preact.js";
import { duration, has, percent, useWords } from "../../lib/i18n.js";
import { is_final, post } from "../../lib/api.js";
import { speak } from "../../lib/speak.js";
import { teach, watched, watch_nothing } from "../../lib/teaching.js";
import { Button, WorkButton } from "../../parts/button.js";
import { Note, Problem } from "../../parts/note.js";
import { Progress } from "../../parts/progress.js";

// Where a job stands, in words.
export function phase_of(t, job) {
  if (is_final(job)) return t(`teach.end.${job.status}`);
  if (job.cancel_requested) return t("teach.phase.stopping");
  const phase = job.status !== "queued" ? job.phase : job.queue_position === 1 ? "next" : "queued";
  return has(`teach.phase.${phase}`) ? t(`teach.phase.${phase}`) : t("teach.phase.working");
}

export function Job({ job }) {
  const t = useWords();
  const phase = phase_of(t, job);
  useEffect(() => speak(`${job.name}: ${phase}`), [phase]);
  return html`<div class="job" tabindex="-1" data-status=${job.status}>
    ${is_final(job) ? html`<${Ended} job=${job} />` : html`<${Running} job=${job} phase=${phase} />`}
    ${job.status !== "succeeded" && html`<${Before} metrics=${job.metrics} />`}
  </div>`;
}

function Running({ job, phase }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const cancel = async () => watched.set(await post(`/jobs/${job.id}/cancel`));
  const waits = job.status === "queued";
  return html`<div class="row row-apart"><strong class="job-phase">${phase}</strong><span class="hint">${waits ? "" : percent(job.progress)}</span></div>
    <${Progress} share=${waits ? null : job.progress} label=${t("teach.progress_of", { name: job.name })} />
    <p class="hint job-left">${left(t, job)}</p>
    <${Losses} losses=${job.losses} />
    <${Problem} error=${error} />
    <div class="row row-apart"><span class="hint">${job.name}</span>
      <${WorkButton} kind="quiet" disabled=${job.cancel_requested} work=${cancel} onError=${setError}>${t("teach.cancel")}<//></div>`;
}

function left(t, job) {
  if (job.status === "queued") {
    const place = job.queue_position;
    return place > 1 ? t("teach.queue", { count: place - 1 }) : t("teach.queue_next");
  }
  return job.eta_seconds === null ? t("teach.eta_unknown") : t("teach.eta", { time: duration(job.eta_seconds) });
}

// What the base says of these pictures untaught, as soon as it is measured.
function Before({ metrics }) {
  const t = useWords();
  const [right, count] = [metrics?.zero_shot_right, metrics?.test_images];
  if (right === undefined || right === null || !count) return null;
  const poor = metrics.base_fit === "poor";
  return html`<${Note} kind=${poor ? "warn" : "info"}><p>${t("teach.before", { right, count, share: percent(right / count) })}</p>
    ${poor && html`<p>${t("teach.poor")}</p>`}<//>`;
}

function Ended({ job }) {
  const t = useWords();
  if (job.status === "succeeded") return html`<p class="job-done"><strong>${t("teach.end.succeeded")}</strong> <span class="hint">${job.name}</span></p>`;
  const words = job.status === "failed" ? t("teach.failed", { reason: sentence(job.error?.detail) || t("error.unknown") }) : t("teach.cancelled");
  return html`<${Note} kind=${job.status === "failed" ? "bad" : "info"}><p>${words}</p>
    ${job.status === "failed" && html`<p>${t("teach.failed_next")}</p>`}<//>
    <${Again} job=${job} />`;
}

const sentence = (text = "") => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

const ASKED = ["density", "learning_rate", "epochs", "batch_size", "seed", "template", "encoders", "augment", "evaluate"];

// The same once more, from the dataset that is there already.
function Again({ job }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const again = () => {
    const config = Object.fromEntries(ASKED.filter((name) => (job.config?.[name] ?? null) !== null).map((name) => [name, job.config[name]]));
    return teach(job.name, job.dataset_id, { config, ...(job.test_dataset_id && { test_dataset_id: job.test_dataset_id }) });
  };
  return html`<div class="row">${job.dataset_id && html`<${WorkButton} work=${again} onError=${setError}>${t("teach.same_again", { name: job.name })}<//>`}
    <${Button} kind="quiet" onClick=${watch_nothing}>${t("teach.put_away")}<//></div><${Problem} error=${error} />`;
}

const [WIDTH, HEIGHT] = [240, 48];

function Losses({ losses }) {
  const t = useWords();
  if (!losses || losses.length < 3) return null;
  const values = losses.map(([, loss]) => loss);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [from, to] = [losses[0][0], losses.at(-1)[0]];
  const points = losses.map(([step, loss]) => `${(((step - from) / (to - from || 1)) * WIDTH).toFixed(1)},${(2 + ((high - loss) / (high - low || 1)) * (HEIGHT - 4)).toFixed(1)}`);
  return html`<svg class="losses" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${t("teach.losses")}><polyline points=${points.join(" ")} /></svg>`;
}
