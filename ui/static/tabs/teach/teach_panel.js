// "Teach it": what it is called and how it is taught, all filled in; the sending; and what is missing, before the click.
import { html, useEffect, useMemo, useRef, useState } from "../../lib/preact.js";
import { bytes, percent, useWords } from "../../lib/i18n.js";
import { is_final } from "../../lib/api.js";
import { useAll, useOne } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { watched } from "../../lib/teaching.js";
import { Button, WorkButton } from "../../parts/button.js";
import { EnglishHint } from "../../parts/english.js";
import { Problem } from "../../parts/note.js";
import { Progress } from "../../parts/progress.js";
import { GOOD, filled, label_of, missing, name_of, pictures_of, plan_of, thin, usable } from "./model.js";
import { Job } from "./job.js";
import { sending, teach_draft } from "./sending.js";
import { Settings } from "./settings.js";

export function TeachPanel({ draft }) {
  const t = useWords();
  const job = useStore(watched);
  const under_way = useStore(sending);
  const [error, setError] = useState(null);
  const name = useFreeName(draft);
  const at_work = job && !is_final(job);
  const lacks = missing(draft);
  const pressed = useRef(false);
  const place = useRef();
  const start = async () => {
    setError(null);
    pressed.current = true;
    await teach_draft(name);
  };
  // The button goes when the job is there: the focus goes on to its progress.
  useEffect(() => {
    if (at_work && pressed.current) place.current.querySelector(".job")?.focus({ preventScroll: true });
    pressed.current = false;
  }, [job?.id]);
  return html`<section class="card teach-panel" ref=${place} aria-labelledby="saft-teach-title">
    <h2 id="saft-teach-title"><span class="step" aria-hidden="true">2</span>${t("teach.step_teach")}</h2>
    <${Base} />
    ${job && html`<${Job} key=${job.id} job=${job} />`}
    ${under_way && html`<${Sending} state=${under_way} />`}
    ${!at_work && html`<${WorkButton} kind="primary" class="button button-primary teach-it" id="saft-teach-it" work=${start} onError=${setError}
        disabled=${lacks.length > 0 || under_way !== null} aria-describedby="saft-missing">${t(draft.source ? "teach.again" : "teach.go")}<//>
      <${Ready} draft=${draft} lacks=${lacks} />`}
    <${EnglishHint} /><${Problem} error=${error} />
    ${!at_work && html`<${Settings} draft=${draft} name=${name} />`}
  </section>`;
}

// What the adapter is called unless it is told: a name that no other one has, for under one that is there it would be the next version.
function useFreeName(draft) {
  const adapters = useAll("/adapters").value;
  const name = name_of(draft);
  return useMemo(() => {
    const there = new Set((adapters ?? []).map((one) => one.name));
    let free = name;
    for (let number = 2; there.has(free); number += 1) free = `${name} ${number}`;
    return free;
  }, [adapters, name]);
}

function Base() {
  const t = useWords();
  const base = useOne("/base").value;
  if (!base) return null;
  return html`<details class="base"><summary>${t("teach.base", { name: base.name })}</summary>
    <p class="hint" lang=${base.suits ? "en" : undefined}>${base.suits ?? t("teach.base_unknown")}</p></details>`;
}

// What is missing, or what would be better.
function Ready({ draft, lacks }) {
  const t = useWords();
  const classes = filled(draft);
  const few = thin(draft);
  const unchanged = draft.source && plan_of(draft).kind === "same";
  const count = classes.reduce((sum, one) => sum + usable(one).length, 0);
  return html`<div id="saft-missing" class="ready" role="status">
    ${lacks.length > 0
      ? html`<ul class="missing">${lacks.map((words) => html`<li key=${words}>${words}</li>`)}</ul>`
      : html`<p class="hint">${t("teach.ready", { count, classes: classes.length })}${unchanged ? ` ${t("teach.unchanged")}` : ""}</p>
          ${classes.some((one) => !one.name.trim()) && html`<p class="hint">${t("teach.name_them")}</p>`}
          ${few.length > 0 && html`<p class="hint">${t("teach.few", { name: label_of(few[0]), count: few.length, good: GOOD })}</p>`}`}
    ${pictures_of(draft).length > 0 && lacks.length === 0 && draft.classes.some((one) => one.name.trim() && !one.pictures.length) && html`<p class="hint">${t("teach.empty_left_out")}</p>`}
  </div>`;
}

function Sending({ state }) {
  const t = useWords();
  const words = state.share < 1 ? t("teach.sent", { share: percent(state.share), done: bytes(state.share * state.total), total: bytes(state.total) }) : t("teach.checking");
  return html`<div class="stack"><strong>${t(`teach.sending_${state.what}`)}</strong>
    <${Progress} share=${state.share < 1 ? state.share : null} label=${t(`teach.sending_${state.what}`)} />
    <div class="row row-apart"><span class="hint">${words}</span><${Button} kind="quiet" onClick=${state.stop}>${t("teach.cancel")}<//></div></div>`;
}
