// How well each class is told, in counts; the worst come first.
import { html, useState } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";
import { Label } from "../label.js";

// A row for each class: of its `count` pictures `right` were found, and of the `answered` ones that were given its name.
export function rows_of({ confusion }) {
  const { labels, adapted, zero_shot } = confusion;
  const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
  return labels.map((label, place) => {
    const [right, count, answered] = [adapted[place][place], sum(adapted[place]), sum(adapted.map((row) => row[place]))];
    return { label, right, count, answered, before: zero_shot[place][place], recall: count ? right / count : null, precision: answered ? right / answered : null };
  });
}

const ORDERS = {
  name: (one, other) => one.label.localeCompare(other.label),
  recall: (one, other) => (one.recall ?? 2) - (other.recall ?? 2),
  precision: (one, other) => (one.precision ?? 2) - (other.precision ?? 2),
};

export function Classes({ metrics }) {
  const t = useWords();
  const [order, setOrder] = useState("recall");
  const rows = rows_of(metrics).sort((one, other) => ORDERS[order](one, other) || ORDERS.name(one, other));
  const head = (name) => html`<th scope="col" aria-sort=${order === name ? "ascending" : "none"}>
    <button type="button" class="sort" onClick=${() => setOrder(name)}>${t(`result.classes.${name}`)}<span aria-hidden="true">${order === name ? " ↑" : ""}</span></button></th>`;
  return html`<section class="card"><h4>${t("result.classes")}</h4><p class="hint">${t("result.classes.hint")}</p>
    <div class="sideways" tabindex="0" role="region" aria-label=${t("result.classes")}><table class="classes">
      <thead><tr>${Object.keys(ORDERS).map(head)}</tr></thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.label} row=${row} />`)}</tbody></table></div></section>`;
}

function Row({ row }) {
  const t = useWords();
  const { right, count, answered, before } = row;
  return html`<tr><th scope="row"><${Label} text=${row.label} /></th>
    <td>${t("result.of", { right, count })} <span class="hint">${percent(row.recall)}${before !== right && `, ${t("result.was", { before })}`}</span></td>
    <td>${t("result.of", { right, count: answered })} <span class="hint">${percent(row.precision)}</span></td></tr>`;
}
