// A message. kind: "info", "good", "warn" or "bad"; what is bad is told at once to those who hear the page.
import { html } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";

export function Note({ kind = "info", children }) {
  return html`<div class="note note-${kind}" role=${kind === "bad" ? "alert" : "status"}>${children}</div>`;
}

// What went wrong, what to do next, and which files were refused.
export function Problem({ error }) {
  const t = useWords();
  if (!error || error.name === "AbortError") return null;
  return html`<${Note} kind="bad"><p>${error.message}</p><${Rejected} files=${error.rejected} />${
    error.code && !error.status && error.code !== "no_connection" ? t("error.unknown") : ""}<//>`;
}

const SHOWN = 200;

// Files that were left out, with the reasons.
export function Rejected({ files, open = true }) {
  const t = useWords();
  if (!files?.length) return null;
  return html`<details class="rejected" open=${open}>
    <summary>${t("rejected.count", { count: files.length })}</summary>
    <ul>${files.slice(0, SHOWN).map((file) => html`<li><code>${file.path}</code> ${file.reason}</li>`)}
    ${files.length > SHOWN && html`<li>${t("rejected.more", { count: files.length - SHOWN })}</li>`}</ul>
  </details>`;
}
