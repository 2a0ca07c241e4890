// The loss over the steps, small: a fine-tune that goes well falls.
import { html } from "../../lib/preact.js";
import { number, useWords } from "../../lib/i18n.js";

const [WIDTH, HEIGHT, EDGE] = [240, 56, 3];

export function Curve({ losses }) {
  const t = useWords();
  const points = (losses ?? []).filter(([, loss]) => Number.isFinite(loss));
  if (points.length < 2) return null;
  const [first, last] = [points[0], points.at(-1)];
  const values = points.map(([, loss]) => loss);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step) => EDGE + ((WIDTH - 2 * EDGE) * (step - first[0])) / (last[0] - first[0] || 1);
  const y = (loss) => EDGE + ((HEIGHT - 2 * EDGE) * (high - loss)) / (high - low || 1);
  const short = (loss) => number(loss, { maximumSignificantDigits: 2 });
  const words = t("result.loss", { from: short(first[1]), to: short(last[1]), count: last[0] });
  return html`<figure class="curve"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${words}>
    <polyline points=${points.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ")} />
    <circle cx=${x(last[0])} cy=${y(last[1])} r="3" /></svg><figcaption class="hint" aria-hidden="true">${words}</figcaption></figure>`;
}
