// Many pictures, each with its answer; how many of each, and what is shown of them.
import { html } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";
import { Word, is_strange, reason_of, top_of } from "../../parts/answers/verdict.js";
import { Button } from "../../parts/button.js";
import { Progress } from "../../parts/progress.js";
import { Seen } from "./stage.js";

// What a picture counts as: "label: cat", "none", "unreadable"; "" while it has no answer to the present question.
export function kind_of({ answer, fresh }) {
  if (!answer || !fresh) return "";
  if (answer.main.error) return "unreadable";
  return is_strange(answer) ? "none" : `label: ${top_of(answer.main).label}`;
}

const words_of = (t, kind) => (kind.startsWith("label: ") ? kind.slice("label: ".length) : t(`try.count_${kind}`));

// How many of each kind, the most first; a click shows these alone.
export function Counts({ kinds, wanted, onWanted }) {
  const t = useWords();
  const counts = new Map();
  for (const kind of kinds.filter(Boolean)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const ordered = [...counts].sort((one, other) => other[1] - one[1]);
  return html`<ul class="row counts" aria-label=${t("try.counts")}>${ordered.map(([kind, count]) =>
    html`<li key=${kind}><${Button} class="button chip" aria-pressed=${kind === wanted} onClick=${() => onWanted(kind === wanted ? null : kind)}>
      ${words_of(t, kind)} <b>${count}</b><//></li>`)}
    ${wanted && html`<li key="all"><${Button} kind="quiet" onClick=${() => onWanted(null)}>${t("try.show_all", { count: kinds.length })}<//></li>`}</ul>`;
}

export function Done({ done, count }) {
  const t = useWords();
  const words = t("try.done", { done, count });
  return html`<div class="try-done"><${Progress} share=${done / count} label=${words} /><span class="hint">${words}</span></div>`;
}

export function Grid({ pictures, of, selected, onSelect, onRemove }) {
  return html`<ul class="shown-list">${pictures.map((picture) =>
    html`<${Tile} key=${picture.id} picture=${picture} told=${of(picture)} is_selected=${picture.id === selected}
      onSelect=${() => onSelect(picture.id)} onRemove=${() => onRemove(picture.id)} />`)}</ul>`;
}

function Tile({ picture, told, is_selected, onSelect, onRemove }) {
  const t = useWords();
  return html`<li class="shown ${told.answer && !told.fresh ? "shown-waiting" : ""}" data-name=${picture.name}>
    <button type="button" class="shown-open" aria-pressed=${is_selected} onClick=${onSelect}>
      <${Seen} picture=${picture} alt=${picture.name} /><span class="shown-answer"><${TileAnswer} told=${told} /></span></button>
    <button type="button" class="shown-remove" aria-label=${t("try.remove", { name: picture.name })} onClick=${onRemove}>×</button></li>`;
}

function TileAnswer({ told: { answer } }) {
  const t = useWords();
  if (!answer) return html`<span class="hint">${t("try.waits")}</span>`;
  if (answer.main.error) return html`<span class="shown-unreadable">${reason_of(t, answer.main.error)}</span>`;
  const { label, probability } = top_of(answer.main);
  if (is_strange(answer)) return html`<strong>${t("try.count_none")}</strong> <span><${Word} text=${label} />?</span>`;
  return html`<strong><${Word} text=${label} /></strong> <span>${percent(probability)}</span>`;
}
