import { html } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";

export function Teach() {
  const t = useWords();
  return html`<h2>${t("tab.teach")}</h2>`;
}
