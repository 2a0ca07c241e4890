// Where in the model the changed numbers are: by tower, then by block.
import { html } from "../../lib/preact.js";
import { number, useWords } from "../../lib/i18n.js";

const tower_of = (block) => (block.startsWith("visual") ? "image" : block === "logit_scale" ? "both" : "text");

export function Blocks({ adapter }) {
  const t = useWords();
  const blocks = adapter.blocks ?? [];
  if (!blocks.length) return null;
  return html`<details class="blocks"><summary>${t("result.where")}</summary>
    <p class="hint">${t("result.where.hint", { count: adapter.nnz, share: number(adapter.density, { style: "percent", maximumSignificantDigits: 2 }) })}</p>
    ${["image", "text", "both"].map((tower) => html`<${Tower} key=${tower} tower=${tower} blocks=${blocks.filter(({ block }) => tower_of(block) === tower)} />`)}</details>`;
}

function Tower({ tower, blocks }) {
  const t = useWords();
  const selected = blocks.reduce((sum, block) => sum + block.selected, 0);
  if (!blocks.length || (tower === "both" && !selected)) return null;
  const most = Math.max(...blocks.map((block) => block.selected));
  const changed = blocks.filter((block) => block.selected);
  return html`<h4>${t(`result.tower.${tower}`)}: ${t("result.numbers", { count: selected })}</h4>
    ${changed.length > 0 && html`<ul>${changed.map(({ block, parameters, selected: count }) => html`<li key=${block}><code>${block}</code>
      <span class="blocks-bar" aria-hidden="true"><span style=${`width: ${(count / most) * 100}%`}></span></span>
      <span class="hint">${t("result.of", { right: count, count: parameters })}</span></li>`)}</ul>`}
    ${changed.length < blocks.length && html`<p class="hint">${t("result.untouched", { count: blocks.length - changed.length })}</p>`}`;
}
