// How a version did beside the one before it, on the same pictures, and the way back to that one.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { post } from "../../lib/api.js";
import { changed, useAll, useOne } from "../../lib/live.js";
import { speak } from "../../lib/speak.js";
import { WorkButton } from "../button.js";
import { Problem } from "../note.js";

export function Versions({ adapter }) {
  const earlier = (useAll("/adapters").value ?? []).filter(({ name, version }) => name === adapter.name && version < adapter.version);
  const before = earlier.sort((one, other) => other.version - one.version)[0];
  return before ? html`<${Beside} key=${before.id} adapter=${adapter} before=${before} />` : null;
}

function Beside({ adapter, before }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const found = useOne(`/adapters/${adapter.id}/compare?with=${before.id}`).value;
  const words = { version: adapter.version, other: before.version };
  const back = async () => {
    await post(`/adapters/${before.id}/publish`);
    changed("/adapters");
    speak(t("adapters.published_now", { version: before.version, name: before.name }));
  };
  return html`<div class="row versions-beside">${found?.images > 0 && html`<p><strong>${t("result.versions", { ...words, right: found.right, other_right: found.with_right, count: found.images })}</strong></p>`}
    ${adapter.published && html`<${WorkButton} work=${back} onError=${setError}>${t("result.back_to", words)}<//>`}
    ${before.published && html`<span class="tag">${t("adapters.answers", { version: before.version })}</span>`}</div><${Problem} error=${error} />`;
}
