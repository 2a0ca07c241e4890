// Which class was taken for which. Where pictures were told wrongly by the adapter, their number opens them.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { Label } from "../label.js";

const MOST_CLASSES = 12; // of a table that the eye can read
const MOST_PAIRS = 25;

// open(label, prediction): shows the pictures of a cell.
export function Matrix({ metrics, open }) {
  const t = useWords();
  const [side, setSide] = useState("adapted");
  const { labels } = metrics.confusion;
  const Shown = labels.length > MOST_CLASSES ? Pairs : Table;
  return html`<section class="card"><div class="row row-apart"><h4>${t("result.matrix")}</h4><${Sides} side=${side} setSide=${setSide} /></div>
    <p class="hint">${t(labels.length > MOST_CLASSES ? "result.pairs.hint" : "result.matrix.hint")}</p>
    <${Shown} labels=${labels} counts=${metrics.confusion[side]} open=${side === "adapted" ? open : null} /></section>`;
}

function Sides({ side, setSide }) {
  const t = useWords();
  return html`<div class="sides" role="group" aria-label=${t("result.matrix.side")}>${["adapted", "zero_shot"].map((name) => html`
    <button type="button" key=${name} aria-pressed=${side === name} onClick=${() => setSide(name)}>${t(`result.side.${name}`)}</button>`)}</div>`;
}

function Table({ labels, counts, open }) {
  const t = useWords();
  return html`<div class="sideways" tabindex="0" role="region" aria-label=${t("result.matrix")}><table class="matrix">
    <caption class="heard">${t("result.matrix.hint")}</caption>
    <thead><tr><td></td>${labels.map((label) => html`<th scope="col" key=${label}><span title=${label}>${label}</span></th>`)}</tr></thead>
    <tbody>${labels.map((label, row) => html`<tr key=${label}><th scope="row"><${Label} text=${label} /></th>
      ${labels.map((said, column) => html`<${Cell} key=${said} label=${label} said=${said} count=${counts[row][column]}
        share=${counts[row][column] / (counts[row].reduce((sum, one) => sum + one, 0) || 1)} open=${open} />`)}</tr>`)}</tbody>
  </table></div>`;
}

function Cell({ label, said, count, share, open }) {
  const t = useWords();
  const right = label === said;
  const style = `--share: ${Math.round(100 * share)}%`; // of the class
  if (!count) return html`<td class="cell-none"><span class="heard">0</span></td>`;
  if (right || !open) return html`<td class=${right ? "cell-right" : "cell-wrong"} style=${style}>${count}</td>`;
  return html`<td class="cell-wrong" style=${style}><button type="button" onClick=${() => open(label, said)}
    aria-label=${t("result.open", { count, label, said })} title=${t("result.open", { count, label, said })}>${count}</button></td>`;
}

// Of many classes: what is mixed up most.
function Pairs({ labels, counts, open }) {
  const t = useWords();
  const pairs = labels.flatMap((label, row) => labels.map((said, column) => ({ label, said, count: counts[row][column] })));
  const wrong = pairs.filter(({ label, said, count }) => count && label !== said).sort((one, other) => other.count - one.count);
  if (!wrong.length) return html`<p>${t("result.pairs.none")}</p>`;
  return html`<ul class="mixed">${wrong.slice(0, MOST_PAIRS).map(({ label, said, count }) => {
    const words = t("result.open", { count, label, said });
    return html`<li key=${`${label}/${said}`}>${open ? html`<button type="button" class="link" onClick=${() => open(label, said)}>${words}</button>` : words}</li>`;
  })}</ul>${wrong.length > MOST_PAIRS && html`<p class="hint">${t("result.pairs.more", { count: wrong.length - MOST_PAIRS })}</p>`}`;
}
