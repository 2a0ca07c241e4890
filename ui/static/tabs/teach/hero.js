// The first screen: what this is, and a finished example for those who have no pictures at hand.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { WorkButton } from "../../parts/button.js";
import { Problem } from "../../parts/note.js";
import { show_example } from "./example.js";

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
