// What became of a fine-tune, in words, bars and meters. `metrics` are those of docs/training.md.
import { html } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";

const FEW = 20; // pictures: fewer tell little whatever they say

// What is to be said of it: "better", "worse", "perhaps", "no_better", "already", "all_right" as before,
// "all_few": all right of too few, "too_few" or "unmeasured".
export function verdict_of(metrics) {
  if (!metrics?.test_images || !metrics.verdict) return "unmeasured";
  if (metrics.verdict !== "no_better") return metrics.verdict;
  if (metrics.right === metrics.test_images) return all_right(metrics);
  if (metrics.too_few_to_tell) return metrics.test_images < FEW ? "too_few" : "already";
  return metrics.right > metrics.zero_shot_right ? "perhaps" : "no_better";
}

function all_right({ right, zero_shot_right, test_images }) {
  if (zero_shot_right === right) return "all_right";
  return test_images < FEW ? "all_few" : "perhaps";
}

export const is_too_few = (metrics) => ["too_few", "all_few"].includes(verdict_of(metrics));

export const counts_of = (metrics) => ({ right: metrics.right, count: metrics.test_images, before: metrics.zero_shot_right });

const KINDS = { better: "good", all_right: "good", all_few: "plain", worse: "bad", unmeasured: "plain" };
const MARKS = { better: "↑", worse: "↓", all_right: "✓", all_few: "✓", perhaps: "?", too_few: "?", no_better: "=", already: "=", unmeasured: "–" };

export function Headline({ metrics }) {
  const t = useWords();
  const verdict = verdict_of(metrics);
  const kind = KINDS[verdict] ?? "warn";
  const counts = counts_of(metrics ?? {});
  return html`<div class="verdict verdict-${kind}"><span class="verdict-mark" aria-hidden="true">${MARKS[verdict]}</span>
    <div><h3 class="verdict-title">${t(`result.title.${verdict}`, counts)}</h3><p>${t(`result.words.${verdict}`, counts)}</p></div></div>`;
}

// The share that is right before and after, one above the other.
export function Bars({ metrics }) {
  const t = useWords();
  const { right, count, before } = counts_of(metrics);
  return html`<dl class="pair">
    <${Bar} name=${t("result.before")} kind="before" right=${before} count=${count} />
    <${Bar} name=${t("result.after")} kind="after" right=${right} count=${count} interval=${metrics.interval} />
  </dl>`;
}

function Bar({ name, kind, right, count, interval }) {
  const t = useWords();
  const share = right / count;
  return html`<div class="pair-row"><dt>${name}</dt>
    <dd class="pair-track" aria-hidden="true"><span class="pair-${kind}" style=${`width: ${share * 100}%`}></span>
      ${interval && html`<i style=${`left: ${interval[0] * 100}%; right: ${(1 - interval[1]) * 100}%`}></i>`}</dd>
    <dd class="pair-value"><strong>${t("result.of", { right, count })}</strong> <span class="hint">${percent(share)}</span></dd></div>`;
}

// On what it was measured, by which adapter, and how sure that is.
export function Measured({ metrics }) {
  const t = useWords();
  const how = metrics.evaluated_on === "test dataset" ? "test" : metrics.evaluate === "holdout" ? "holdout" : "refit";
  const [low, high] = metrics.interval ?? [];
  return html`<p class="hint">${t(`result.measured.${how}`, { count: metrics.test_images, all: metrics.train_images ?? 0 })}
    ${low !== undefined && html` ${t("result.interval", { low: percent(low), high: percent(high) })}`}</p>
    ${metrics.base_to_new && html`<p class="hint">${t("result.new_classes", counts_of(metrics.base_to_new.new))}</p>`}
    ${metrics.untested_labels?.length > 0 && html`<p class="hint">${t("result.untested", { labels: metrics.untested_labels.join(", ") })}</p>`}`;
}

// How much of what the base knows it still knows; nothing where that was not measured.
export function Kept({ metrics }) {
  const t = useWords();
  if (typeof metrics.kept !== "number") return null;
  return html`<div class="kept"><p>${t("result.kept", { share: percent(metrics.kept) })}</p>
    <div class="kept-track" aria-hidden="true"><span style=${`width: ${metrics.kept * 100}%`}></span></div></div>`;
}

export function Strength({ metrics }) {
  const t = useWords();
  const { strength } = metrics;
  if (typeof strength !== "number" || strength === 1) return null;
  return html`<p class="hint">${t("result.strength", { share: percent(strength) })}</p>`;
}
