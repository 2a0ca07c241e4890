// Earlier fine-tunes, to look at again: told by what came of them and when.
import { html, useState } from "../../lib/preact.js";
import { ago, percent, useWords } from "../../lib/i18n.js";
import { get } from "../../lib/api.js";
import { useOne } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { watch, watched } from "../../lib/teaching.js";
import { WorkButton } from "../../parts/button.js";
import { Problem } from "../../parts/note.js";
import { phase_of } from "./job.js";

export function Earlier() {
  const t = useWords();
  const jobs = useOne("/jobs?limit=20").value?.items ?? [];
  const now = useStore(watched);
  const [error, setError] = useState(null);
  const others = jobs.filter((job) => job.id !== now?.id);
  if (!others.length) return null;
  return html`<details class="card earlier"><summary>${t("teach.earlier", { count: others.length })}</summary>
    <ul>${others.map((job) => html`<li key=${job.id}><${WorkButton} kind="quiet" work=${async () => watch(await get(`/jobs/${job.id}`))} onError=${setError}>
      <span class="earlier-name">${job.name}</span><span class="hint">${facts(t, job)}</span><//></li>`)}</ul><${Problem} error=${error} /></details>`;
}

function facts(t, job) {
  const { right, test_images: count, accuracy } = job.metrics ?? {};
  const measured = job.status === "succeeded" && count ? t("teach.right", { share: percent(accuracy), right, count }) : null;
  return [phase_of(t, job), measured, ago(job.finished_at ?? job.created_at)].filter(Boolean).join(" · ");
}
