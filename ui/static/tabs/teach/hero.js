// The first screen: what this is, and a finished example for those who have no pictures at hand.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { get, new_key, post } from "../../lib/api.js";
import { changed } from "../../lib/live.js";
import { store } from "../../lib/store.js";
import { watch, watch_nothing } from "../../lib/teaching.js";
import { WorkButton } from "../../parts/button.js";
import { Problem } from "../../parts/note.js";

// The adapter of the example while it is shown, or null.
export const example = store(null);

async function show_example() {
  const made = await post("/example", {}, { key: new_key() });
  changed("/datasets", "/adapters", "/jobs", "/usage");
  if (made.job_id && !made.adapter_id) return watch(await get(`/jobs/${made.job_id}`));
  watch_nothing();
  return example.set(made.adapter_id);
}

export function Hero() {
  const t = useWords();
  const [error, setError] = useState(null);
  return html`<section class="hero" aria-labelledby="saft-hero">
    <div><h2 id="saft-hero">${t("teach.hero")}</h2><p>${t("teach.hero_words")}</p></div>
    <div class="hero-try"><${WorkButton} work=${show_example} onError=${setError} id="saft-example">${t("teach.example")}<//>
      <p class="hint">${t("teach.example_hint")}</p></div>
    <${Problem} error=${error} />
  </section>`;
}
