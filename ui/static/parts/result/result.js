// What a fine-tune brought.
import { html } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";

export function Result({ adapter }) {
  const t = useWords();
  const { right, zero_shot_right: before, test_images: count, accuracy, verdict } = adapter.metrics;
  return html`<div class="card result"><p><strong>${verdict}</strong> ${t("teach.right", { share: percent(accuracy), right, count })} (${before})</p></div>`;
}
