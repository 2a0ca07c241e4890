// The tabs of the frame, which Gradio draws: their labels in the visitor's language, and going from one to another.
import { tab } from "./storage.js";
import { language, t } from "./i18n.js";

const NAMES = ["teach", "try", "search", "adapters", "use"];
const KEPT = "saft-tab";

const button = (name) => document.getElementById(`saft-tab-${name}-button`);

export function open_tab(name) {
  button(name)?.click();
  tab.keep(KEPT, name);
}

function label() {
  for (const name of NAMES) {
    const found = button(name);
    const text = t(`tab.${name}`);
    if (found && found.textContent.trim() !== text) found.textContent = text;
  }
}

// The frame draws its tabs after its head, so they may not be there yet.
async function frame() {
  for (;;) {
    const found = document.getElementById("saft-tabs");
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Labels the tabs from now on, and opens the one that was open before.
export async function keep_tabs() {
  const tabs = await frame();
  label();
  language.listen(label);
  const kept = tab.kept(KEPT);
  if (kept && kept !== "teach") open_tab(kept);
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.("[role=tab][id^=saft-tab-]");
    if (pressed) tab.keep(KEPT, pressed.id.slice("saft-tab-".length, -"-button".length));
  });
  // Gradio writes its tabs anew when the window's width changes.
  new MutationObserver(label).observe(tabs, { childList: true, subtree: true });
}
