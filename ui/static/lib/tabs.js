// The tabs of the frame, which Gradio draws: their labels in the visitor's language, and going from one to another.
import { language, t } from "./i18n.js";

const NAMES = ["teach", "try", "search", "adapters", "use"];
const KEPT = "saft-tab";

const button = (name) => document.getElementById(`saft-tab-${name}-button`);

export function open_tab(name) {
  button(name)?.click();
  sessionStorage.setItem(KEPT, name);
}

function label() {
  for (const name of NAMES) {
    const found = button(name);
    const text = t(`tab.${name}`);
    if (found && found.textContent.trim() !== text) found.textContent = text;
  }
}

// To be called once the frame is there.
export function keep_tabs() {
  label();
  language.listen(label);
  const kept = sessionStorage.getItem(KEPT);
  if (kept && kept !== "teach") open_tab(kept);
  document.addEventListener("click", (event) => {
    const tab = event.target.closest?.("[role=tab][id^=saft-tab-]");
    if (tab) sessionStorage.setItem(KEPT, tab.id.slice("saft-tab-".length, -"-button".length));
  });
  // Gradio writes its tabs anew when the window's width changes.
  new MutationObserver(label).observe(document.getElementById("saft-tabs"), { childList: true, subtree: true });
}
