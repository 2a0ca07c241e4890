// An answer in words and bars: what the model says, large, beside what the base says.
import { html } from "../../lib/preact.js";
import { has, percent, useWords } from "../../lib/i18n.js";
import { Note } from "../note.js";

const SHOWN = 5;
const FEW = 3; // where there is little room
const LONG = 12; // letters, from which a label is written smaller

export const top_of = (result) => result?.predictions[0] ?? null;

// A label that may be broken after each of its words.
export const Word = ({ text }) => text.split(/(?<=[_\-/])/).map((part, place) => html`${place > 0 && html`<wbr />`}${part}`);

// Whether the picture more likely shows none of the labels. Not known of all labels.
export const is_strange = ({ main, threshold }) => main.unknown !== null && threshold !== null && main.unknown > threshold;

// Why a picture has no answer; the service's own words where the page has none for it.
export const reason_of = (t, { code, detail }) => (has(`try.unreadable.${code}`) ? t(`try.unreadable.${code}`) : detail);

// What the models say, as a sentence; of what is probably none of the labels neither says one, and one is but the nearest.
export function sentence(t, answer) {
  const { main, base } = answer;
  const { label } = top_of(main);
  if (is_strange(answer)) return base && top_of(base).label !== label ? t("try.nearest_base", { label: top_of(base).label }) : "";
  if (!base) return t("try.says_base", { label });
  const before = top_of(base).label;
  return before === label ? t("try.both_say", { label }) : t("try.differ", { base: before, label });
}

// What is read out: the sentence, with how sure it is.
export function heard(t, answer) {
  if (answer.main.error) return reason_of(t, answer.main.error);
  const doubt = is_strange(answer) ? `${t("try.none", { share: percent(answer.main.unknown) })} ` : "";
  if (doubt) return `${doubt}${t("try.nearest")} ${top_of(answer.main).label}. ${sentence(t, answer)}`;
  return `${sentence(t, answer)} ${t("try.sure", { share: percent(top_of(answer.main).probability) })}`;
}

// `waiting`: it belongs to an earlier question, and the next one is on its way. `name`: of the model that is asked.
export function Answer({ answer, waiting = false, name, compact = false }) {
  const t = useWords();
  if (answer.main.error) return html`<${Unreadable} error=${answer.main.error} />`;
  const { label, probability } = top_of(answer.main);
  const strange = is_strange(answer);
  const said = sentence(t, answer);
  return html`<div class="answer ${waiting ? "answer-waiting" : ""}" aria-busy=${waiting}>
    ${waiting && html`<p class="answer-asking">${t("try.asking")}</p>`}
    ${strange && html`<p class="answer-none">${t("try.none", { share: percent(answer.main.unknown) })}</p>`}
    <p class="answer-said ${strange ? "answer-doubtful" : ""}">${strange && html`<span class="answer-nearest">${t("try.nearest")}</span>`}
      <strong class=${label.length > LONG ? "answer-long" : ""}><${Word} text=${label} /></strong> <span>${percent(probability)}</span></p>
    ${said && html`<p class="answer-sentence">${said}</p>`}
    <${Bars} answer=${answer} name=${name} first=${compact ? FEW : SHOWN} />
  </div>`;
}

export function Unreadable({ error }) {
  const t = useWords();
  return html`<${Note} kind="warn"><strong>${t("try.unreadable")}</strong> ${reason_of(t, error)}<//>`;
}

// Every label with its bars, the likeliest first; of many the first ones, and what the base takes it for.
function Bars({ answer, name, first }) {
  const t = useWords();
  const before = new Map((answer.base?.predictions ?? []).map(({ label, probability }) => [label, probability]));
  const rows = answer.main.predictions.map((row) => ({ ...row, base: before.get(row.label) }));
  const is_first = ({ label }, place) => place < first || label === top_of(answer.base)?.label;
  const rest = rows.filter((row, place) => !is_first(row, place));
  return html`${answer.base && html`<p class="legend" aria-hidden="true"><span class="legend-main">${name}</span> <span class="legend-base">${t("try.base")}</span></p>`}
    <ul class="bars">${rows.filter(is_first).map((row) => html`<${Bar} key=${row.label} row=${row} />`)}</ul>
    ${rest.length > 0 && html`<details><summary>${t("try.more_labels", { count: rest.length })}</summary>
      <ul class="bars">${rest.map((row) => html`<${Bar} key=${row.label} row=${row} />`)}</ul></details>`}`;
}

function Bar({ row: { label, probability, base } }) {
  const t = useWords();
  const [share, before] = [percent(probability, 0), percent(base, 0)];
  const words = base === undefined ? t("try.bar", { label, share }) : t("try.bar_both", { label, share, base: before });
  return html`<li><span class="heard">${words}</span>
    <div class="bar" aria-hidden="true"><span class="bar-label"><${Word} text=${label} /></span>
      <span class="bar-track"><i style=${`transform: scaleX(${probability})`}></i></span><b>${share}</b>
      ${base !== undefined && html`<span class="bar-track bar-base"><i style=${`transform: scaleX(${base})`}></i></span><small>${before}</small>`}</div></li>`;
}
