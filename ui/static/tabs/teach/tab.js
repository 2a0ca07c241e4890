// The Teach tab: pictures into boxes, a fine-tune of them, and what came of it, on one page.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { t, useWords } from "../../lib/i18n.js";
import { get, is_final } from "../../lib/api.js";
import { files_of } from "../../lib/files.js";
import { useOne } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { watch, watch_nothing, watched, watched_before } from "../../lib/teaching.js";
import { Button } from "../../parts/button.js";
import { Note } from "../../parts/note.js";
import { QuickTry } from "../../parts/quick_try.js";
import { Result } from "../../parts/result/result.js";
import { Classes } from "./classes.js";
import { draft, find_draft, selected, undo } from "./draft.js";
import { Earlier } from "./earlier.js";
import { example } from "./example.js";
import { fill } from "./filling.js";
import { Hero } from "./hero.js";
import { is_empty } from "./model.js";
import { sending } from "./sending.js";
import { TeachPanel } from "./teach_panel.js";
import { DRAGGED } from "./tile.js";
import { remove_selected } from "./toolbar.js";

export function Teach() {
  const place = useRef();
  const now = useStore(draft);
  const job = useStore(watched);
  const shown = useStore(example);
  const under_way = useStore(sending);
  const over = useWholeTab(place);
  useEffect(() => {
    find_draft();
    find_job();
  }, []);
  useEffect(() => job && example.set(null), [job?.id]);
  const adapter_id = shown ?? (job?.status === "succeeded" ? job.adapter_id : null);
  const is_first = now && is_empty(now) && !job && !shown && !under_way;
  return html`<div class="teach ${over ? "teach-over" : ""} ${adapter_id ? "teach-taught" : ""}" ref=${place}>
    ${is_first && html`<${Hero} />`}
    ${adapter_id && html`<${Taught} key=${adapter_id} adapter_id=${adapter_id} job=${shown ? null : job} is_example=${shown !== null} />`}
    ${now && html`<div class="steps"><${Classes} draft=${now} />
      <div class="steps-side"><${TeachPanel} draft=${now} /><${Earlier} /></div>
      ${!adapter_id && html`<${Ahead} />`}</div>`}
  </div>`;
}

// Step 3 while there is nothing to try yet.
function Ahead() {
  const t = useWords();
  return html`<section class="ahead" aria-labelledby="saft-try-title"><h2 id="saft-try-title"><span class="step" aria-hidden="true">3</span>${t("teach.step_try")}</h2><p>${t("teach.ahead")}</p></section>`;
}

function Taught({ adapter_id, job, is_example }) {
  const t = useWords();
  const place = useRef();
  const { value: adapter, error } = useOne(`/adapters/${adapter_id}`);
  const put_away = () => {
    example.set(null);
    watch_nothing();
  };
  const is_gone = error?.status === 404;
  useEffect(() => is_gone && put_away(), [is_gone]);
  useEffect(() => {
    if (job && job.id === found_done) return;
    place.current.scrollIntoView({ block: "start" });
    place.current.focus({ preventScroll: true });
  }, []);
  if (is_gone) return null;
  return html`<section class="taught" aria-labelledby="saft-taught-title" ref=${place} tabindex="-1">
    <div class="row row-apart"><h2 id="saft-taught-title">${is_example ? t("teach.example_title") : t("teach.taught", { name: adapter?.version > 1 ? t("adapters.result_of", adapter) : (job?.name ?? adapter?.name ?? "") })}</h2>
      <${Button} kind="quiet" onClick=${put_away}>${t("teach.put_away")}<//></div>
    ${is_example && html`<${Note} kind="info"><p>${t("teach.example_words")}</p><//>`}
    <div class="taught-parts"><div class="taught-result">${adapter && html`<${Result} adapter=${adapter} job=${job} />`}</div>
      <div class="card taught-try"><h3><span class="step" aria-hidden="true">3</span>${t("teach.step_try")}</h3><${QuickTry} adapter=${adapter_id} /></div></div>
    <h2 class="taught-more">${t(is_example ? "teach.now_yours" : "teach.more")}</h2>
  </section>`;
}

let found_done = null; // the job whose result was there before the reload: it is no news

// The job that was watched before a reload; else the newest that is under way, wherever it was started.
async function find_job() {
  if (watched.get()) return;
  const id = watched_before();
  const before = id && (await get(`/jobs/${id}`).catch(() => null));
  const found = before || (await get("/jobs?limit=20").catch(() => ({ items: [] }))).items.find((job) => !is_final(job));
  if (found && is_final(found)) found_done = found.id;
  if (found && !watched.get()) watch(found.losses ? found : await get(`/jobs/${found.id}`));
}

const is_typing = (target) => target.closest?.("input:not([type=checkbox], [type=file]), textarea, select, [contenteditable]");

const of_selection = { Delete: () => remove_selected(t), Escape: () => selected.set(new Set()) };

// What is dropped anywhere while the tab is to be seen, Ctrl+Z, and the keys of what is selected.
function useWholeTab(place) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const is_here = () => place.current?.offsetParent !== null;
    const drag = (event) => {
      if (!is_here() || event.defaultPrevented || event.dataTransfer.types.includes(DRAGGED)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event) => !event.relatedTarget && setOver(false);
    const drop = async (event) => {
      setOver(false);
      if (!is_here() || event.defaultPrevented || event.dataTransfer.types.includes(DRAGGED)) return;
      event.preventDefault();
      fill(await files_of(event.dataTransfer));
    };
    const key = (event) => {
      const use = selected.get().size > 0 && of_selection[event.key];
      if (use && is_here() && !is_typing(event.target) && !document.querySelector("dialog[open]")) return use();
      if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || !is_here() || is_typing(event.target)) return;
      event.preventDefault();
      undo();
    };
    const heard = { dragover: drag, dragleave: leave, drop, keydown: key };
    for (const [name, use] of Object.entries(heard)) document.addEventListener(name, use);
    return () => Object.entries(heard).forEach(([name, use]) => document.removeEventListener(name, use));
  }, []);
  return over;
}
